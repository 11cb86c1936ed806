// A visitor checks the winner: from the first page to the very frames and to the audit commands,
// which are copied with their buttons, pasted into a shell and have to agree.
//
//   LEOMA=PROGRAM node visitor.mjs URL FOLDER
//
// The shell's working folder is FOLDER, whose .env gives read access to the source bucket: the
// check of a clip needs it. The other commands run in an empty folder with an empty environment.
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

const [base, folder] = process.argv.slice(2);
const program = process.env.LEOMA;
if (!folder || !program) {
  console.error("usage: LEOMA=PROGRAM node visitor.mjs URL FOLDER");
  process.exit(2);
}
// Scoring a task again takes seconds for each answer, with an unoptimised program some more.
const AUDIT_WITHIN_MS = 300_000;
// The newest epoch's weights come to the chain some blocks after its boundary.
const WEIGHTS_WITHIN_MS = 120_000;
const failures = [];
const check = (right, what) => {
  console.log(`${right ? "ok  " : "FAIL"} ${what}`);
  if (!right) failures.push(what);
};

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
const page = await context.newPage();

/** Copies the n-th command of the page with its button. */
async function copied(number) {
  const block = page.locator("div.command").nth(number);
  await block.locator("[data-copy]").click();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  check(text === await block.locator("code").textContent(), `the button copies ${text}`);
  return text;
}

/** Runs what was copied as a visitor's shell would. */
function paste(command, where) {
  const PATH = `${dirname(program)}:${process.env.PATH}`;
  const cwd = where ?? mkdtempSync(join(tmpdir(), "visitor-"));
  const options = { cwd, env: { PATH, HOME: cwd }, encoding: "utf8", timeout: AUDIT_WITHIN_MS };
  const { status, stdout, stderr } = spawnSync("bash", ["-c", command], options);
  if (status !== 0) console.log(`${stdout}${stderr}`);
  return { status, output: `${stdout}${stderr}` };
}

await page.goto(new URL("/", base).href);
const card = page.locator("section.card", { has: page.locator("h2", { hasText: "Winner" }) });
const winner = (await card.locator("a[href^='/ui/miners/']").getAttribute("href")).split("/").pop();
const epochCommand = await copied(0);
const validators = (await (await fetch(new URL("/validators", base))).json())
  .filter((validator) => validator.permissioned).length;
/** What an audit says that each validator set. */
const whatWasSet = ({ output }) =>
  [...output.matchAll(/^ {2}\S+ \(uid [^)]*\) {2}(.*)$/gm)].map(([, said]) => said);
const same = (audit) => whatWasSet(audit).filter((said) => said === "set the same weights").length;
const end = Date.now() + WEIGHTS_WITHIN_MS;
let epoch = paste(epochCommand);
while (epoch.status === 0 && same(epoch) < validators && Date.now() < end) {
  await page.waitForTimeout(3_000);
  epoch = paste(epochCommand);
}
check(epoch.status === 0 && epoch.output.includes(winner),
  `the epoch's command names the winner ${winner}`);
check(validators > 1 && same(epoch) === validators && whatWasSet(epoch).length === validators,
  `and ${same(epoch)} of ${validators} validators set the same weights: `
    + whatWasSet(epoch).join("; "));

await card.locator("a[href^='/ui/miners/']").click();
await page.waitForURL(`**/ui/miners/${winner}`);
await page.locator("main a[href^='/ui/tasks/']").first().click();
await page.waitForURL("**/ui/tasks/*");
const answer = page.locator("figure.answer", { has: page.locator("strong", { hasText: "winner" }) });
check(await answer.count() === 1, "the task shows the winner's answer");
await page.click("[data-play]");
await page.waitForTimeout(1_500);
const shown = await answer.locator("video").evaluate((video) =>
  [video.videoWidth, video.videoHeight, video.currentTime, video.readyState]);
check(shown[0] > 0 && shown[2] > 0.3 && shown[3] >= 2,
  `its frames are shown: ${shown[0]}x${shown[1]}, ${shown[2].toFixed(1)} s in`);
const frame = await page.locator("figure.source img").evaluate((image) => image.naturalWidth);
check(frame > 0, `beside the frame that miners were given, ${frame} pixels wide`);

const answers = await page.locator("figure.answer:not(.source)").count();
const videos = await page.locator("figure.answer:not(.source) video").count();

const clipCommand = await copied(0);
const clip = paste(clipCommand, folder);
check(clip.status === 0 && clip.output.includes("the clip is the one that the seed chooses"),
  "the clip's command agrees in every step");
const scoresCommand = await copied(1);
const scores = paste(scoresCommand);
// One row for each miner; where there is no video, there is nothing to score.
const rows = [...scores.output.matchAll(/^5\w{46,47} (.*)$/gm)].map(([, found]) => found);
const matching = rows.filter((found) => found === "match").length;
check(scores.status === 0 && /^metadata +match$/m.test(scores.output),
  "the command that scores the videos again agrees");
check(videos > 0 && matching === videos && rows.length === answers,
  `${matching} of ${videos} videos match, in ${answers} answers: ${rows.join("; ")}`);
const unchecked = rows.filter((found) => found.startsWith("cannot be checked")).length;
check(unchecked === answers - videos, `no video of them cannot be checked (${unchecked} rows)`);
await browser.close();
if (failures.length > 0) {
  console.error(`${failures.length} checks failed`);
  process.exit(1);
}
