// Takes the pictures of the documentation from a running subnet: small PNGs of a few pages.
//
//   node shots.mjs URL FOLDER
import { mkdir, stat } from "node:fs/promises";
import { chromium } from "playwright-core";

const [base, folder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node shots.mjs URL FOLDER");
  process.exit(2);
}
// All pictures together, so that the repository stays small.
const MOST_BYTES = 300_000;

const json = async (path) => (await fetch(new URL(path, base))).json();
const { task_id: task } = await json("/tasks/latest");
// Frames of videos make large PNGs: of a task its aspects and measures are shown.
const pages = [["overview", "/", 960, 620],
  ["task", `/ui/tasks/${task}`, 960, 620], ["epochs", "/ui/epochs", 960, 420]];
await mkdir(folder, { recursive: true });
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ colorScheme: "light" });
let bytes = 0;
for (const [name, path, width, height] of pages) {
  await page.setViewportSize({ width, height });
  await page.goto(new URL(path, base).href, { waitUntil: "load" });
  if (name === "task") {
    await page.locator(".answer.passed details").first().evaluate((measures) => {
      measures.open = true;
      measures.previousElementSibling.scrollIntoView();
    });
  }
  await page.waitForTimeout(1_000);
  const file = `${folder}/${name}.png`;
  await page.screenshot({ path: file });
  const { size } = await stat(file);
  bytes += size;
  console.log(`${file}: ${Math.round(size / 1000)} KB`);
}
await browser.close();
if (bytes > MOST_BYTES) {
  console.error(`${bytes} bytes in all are too many: take smaller pictures`);
  process.exit(1);
}
