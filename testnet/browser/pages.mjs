// Looks at every page of a running subnet in Chromium, and fails where a reader would be stuck.
//
//   node pages.mjs URL [--without-videos] [--without-blocks] [--shots FOLDER]
//
// Checks each page in light and dark, at 390 and 1440 px: no error in the console, no request to
// another host, nothing wider than the screen, no serious finding of axe-core, at most 250 KB without
// videos. The first paint of the overview takes at most 300 ms. Then: the keyboard alone reaches all
// that can be used on each page, leads to a miner and moves the player, videos play in step, a new
// block is shown without a reload, and the pages can be read without JavaScript.
import { createRequire } from "node:module";
import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const { source: AXE } = createRequire(import.meta.url)("axe-core");
const WIDTHS = [390, 1440];
const SCHEMES = ["light", "dark"];
// A local subnet makes a block in seconds; the live chain in twelve.
const BLOCK_WITHIN_MS = 60_000;
const IN_STEP_SECONDS = 0.25;
const MOST_BYTES = 250_000;
const FIRST_PAINT_MS = 300;

const [base, ...flags] = process.argv.slice(2);
if (!base) {
  console.error("usage: node pages.mjs URL [--without-videos] [--without-blocks] [--shots FOLDER]");
  process.exit(2);
}
const shots = flags.includes("--shots") ? flags[flags.indexOf("--shots") + 1] : null;
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const failures = [];
const check = (right, what) => {
  console.log(`${right ? "ok  " : "FAIL"} ${what}`);
  if (!right) failures.push(what);
};

const json = async (path) => (await fetch(new URL(path, base))).json();
const [miner] = await json("/miners/active");
const { task_id: task } = await json("/tasks/latest");
const text = async (path) => (await fetch(new URL(path, base))).text();
const epoch = (await text("/ui/epochs")).match(/\/ui\/epochs\/(\d+)/)?.[1];
const pages = { overview: "/", miners: "/ui/miners", validators: "/ui/validators",
  epochs: "/ui/epochs", node: "/ui/node" };
if (miner) pages.miner = `/ui/miners/${miner.hotkey}`;
if (task !== null) pages.task = `/ui/tasks/${task}`;
if (epoch) pages.epoch = `/ui/epochs/${epoch}`;
check(Boolean(miner) && task !== null && Boolean(epoch),
  "the subnet has a judged miner, a task and an epoch to look at");
const timing = [];
let heaviest = 0;

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A page that remembers what went wrong on it. */
async function open(context, path) {
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error") wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.host !== new URL(base).host) {
      wrong.push(`request to ${url.host}`);
    }
  });
  await page.goto(new URL(path, base).href, { waitUntil: "load" });
  await page.waitForTimeout(300);
  return { page, wrong };
}

const withoutVideos = flags.includes("--without-videos");
if (shots) await mkdir(shots, { recursive: true });
for (const colorScheme of SCHEMES) {
  for (const width of WIDTHS) {
    const context = await browser.newContext({
      colorScheme, viewport: { width, height: 900 }, bypassCSP: false,
    });
    for (const [name, path] of Object.entries(pages)) {
      const where = `${name}, ${colorScheme}, ${width} px`;
      const { page, wrong } = await open(context, path);
      const told = wrong.filter((text) => !(withoutVideos && text.includes("Failed to load")));
      check(told.length === 0, `${where}: no errors and no other hosts ${told.join("; ")}`);
      if (name === "overview") {
        timing.push(await page.evaluate(
          () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN));
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(wide <= 0, `${where}: nothing is wider than the screen (${wide} px)`);
      const bytes = await page.evaluate(() => ["navigation", "resource"]
        .flatMap((type) => performance.getEntriesByType(type))
        .filter((one) => !/\/(media|events)/.test(one.name))
        .reduce((sum, one) => sum + one.encodedBodySize, 0));
      heaviest = Math.max(heaviest, bytes);
      check(bytes > 0 && bytes <= MOST_BYTES, `${where}: weighs ${Math.round(bytes / 1000)} KB`);
      // evaluate() is not subject to the page's content security policy.
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const serious = violations.filter((one) => ["serious", "critical"].includes(one.impact));
      const found = serious.map((one) => `${one.id}: ${one.nodes[0]?.html.slice(0, 120)}`);
      check(serious.length === 0, `${where}: axe-core ${found.join("; ")}`);
      if (shots) {
        await page.screenshot({ path: `${shots}/${name}-${colorScheme}-${width}.png` });
      }
      await page.close();
    }
    await context.close();
  }
}

/** What a reader without a mouse has to reach: marked, and how many there are. */
const markAll = (page) => page.evaluate(() => {
  const usable = "a[href], button, input, select, summary, video[controls], [tabindex='0']";
  const found = [...document.querySelectorAll(usable)]
    .filter((one) => !one.disabled && one.checkVisibility());
  globalThis.toReach = new Set(found);
  return found.length;
});

/** Presses Tab until everything that is marked was reached; what was not, if anything. */
async function tabThrough(page) {
  const number = await markAll(page);
  let left = number;
  for (let presses = 0; presses < number + 40 && left > 0; presses += 1) {
    await page.keyboard.press("Tab");
    left = await page.evaluate(() => {
      globalThis.toReach.delete(document.activeElement);
      return globalThis.toReach.size;
    });
  }
  const missed = await page.evaluate(
    () => [...globalThis.toReach].slice(0, 3).map((one) => one.outerHTML.slice(0, 100)));
  return { number, missed };
}

/** Presses Tab until `selector` has the focus. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 400; presses += 1) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate((wanted) => document.activeElement.matches(wanted), selector);
    if (there) return true;
  }
  return false;
}

const byKeys = await browser.newContext({ viewport: { width: 1440, height: 900 } });
// A page that is replaced at a new block would forget what was reached.
await byKeys.route("**/events", (route) => route.abort());
for (const [name, path] of Object.entries(pages)) {
  const { page } = await open(byKeys, path);
  const { number, missed } = await tabThrough(page);
  check(number > 5 && missed.length === 0,
    `${name}: Tab reaches all of ${number} links and controls ${missed.join("; ")}`);
  await page.close();
}
if (pages.task) {
  const { page } = await open(byKeys, pages.task);
  const label = () => page.locator("[data-play]").textContent();
  const reached = await tabTo(page, "[data-play]");
  const before = await label();
  await page.keyboard.press("Enter");
  const playing = await label();
  await page.keyboard.press("Enter");
  check(reached && before === "Play all" && playing === "Pause all" && await label() === "Play all",
    `the keyboard alone plays and pauses: ${before}, ${playing}`);
  // The player follows its videos for a moment after they pause.
  await page.waitForTimeout(300);
  const slider = await tabTo(page, "[data-scrub]");
  const from = Number(await page.locator("[data-scrub]").inputValue());
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  const to = Number(await page.locator("[data-scrub]").inputValue());
  check(slider && to === from + 2, `the keyboard alone moves the slider: ${from} to ${to}`);
  await page.close();
}
await byKeys.close();

const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
{
  const { page } = await open(context, "/ui/miners");
  let reached = false;
  for (let presses = 0; presses < 60 && !reached; presses += 1) {
    await page.keyboard.press("Tab");
    reached = await page.evaluate(
      () => document.activeElement?.getAttribute("href")?.startsWith("/ui/miners/5") ?? false);
  }
  if (reached) await page.keyboard.press("Enter");
  if (reached) await page.waitForURL("**/ui/miners/5*", { timeout: 10_000 }).catch(() => {});
  check(page.url().includes("/ui/miners/5"), "the keyboard alone leads to a miner");
  await page.close();
}
if (!withoutVideos) {
  const { page } = await open(context, pages.task);
  await page.click("[data-play]");
  await page.waitForTimeout(2_000);
  const times = await page.evaluate(
    () => [...document.querySelectorAll("video[data-step]")].map((video) => video.currentTime));
  const apart = Math.max(...times) - Math.min(...times);
  check(times.length > 1 && Math.min(...times) > 0.3, `videos play: ${times.join(", ")}`);
  check(apart < IN_STEP_SECONDS, `videos are in step: ${apart.toFixed(3)} s apart`);
  await page.close();
}
if (!flags.includes("--without-blocks")) {
  const { page } = await open(context, "/");
  const chain = page.locator("section.card", { has: page.locator("h2", { hasText: "Chain" }) });
  const shown = async () => parseInt(await chain.locator("dd").first().textContent(), 10);
  // A reload would forget it.
  await page.evaluate(() => { globalThis.stayed = true; });
  const before = await shown();
  const end = Date.now() + BLOCK_WITHIN_MS;
  let after = before;
  while (!(after > before) && Date.now() < end) {
    await page.waitForTimeout(500);
    after = await shown();
  }
  const stayed = await page.evaluate(() => globalThis.stayed === true);
  check(after > before && stayed,
    `a new block is shown without a reload: ${before}, then ${after}`);
  await page.close();
}
await context.close();

const plain = await browser.newContext({ javaScriptEnabled: false });
for (const [name, path] of Object.entries(pages)) {
  const page = await plain.newPage();
  await page.goto(new URL(path, base).href);
  const title = await page.textContent("h1");
  const links = await page.locator("nav a").count();
  check(Boolean(title) && links >= 5, `${name} can be read without JavaScript`);
  await page.close();
}
await browser.close();
console.log(`the heaviest page: ${Math.round(heaviest / 1000)} KB without videos`);
// The middle one: the first page of a new browser process also waits for that process.
const paint = [...timing].sort((a, b) => a - b)[Math.floor(timing.length / 2)];
check(paint <= FIRST_PAINT_MS && timing.every((ms) => ms > 0),
  `first paint of the overview: ${timing.map((ms) => `${Math.round(ms)} ms`).join(", ")}`);

if (failures.length > 0) {
  console.error(`${failures.length} checks failed`);
  process.exit(1);
}
