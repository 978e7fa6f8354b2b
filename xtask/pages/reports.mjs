// A report of an incident as people open it: `node reports.mjs '{"program", "name", "file", "pictures", "profile"}'`.
// `file` is the page, and `name` what it is called. Prints one JSON object a line, `{"name", "problem"}`, and ends with 0 unless it cannot run at all.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const told = JSON.parse(process.argv[2]);
const require = createRequire(join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const { HtmlValidate } = require("html-validate");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const NARROW = { width: 320, height: 568 };
const DESKTOP = { width: 1280, height: 900 };
const ADDRESS = pathToFileURL(told.file).href;

function must(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

async function check(name, run) {
  let problem = null;
  try {
    await run();
  } catch (error) {
    problem = error.message;
  }
  console.log(JSON.stringify({ name: `${told.name}: ${name}`, problem }));
}

/** Opens the page; nothing but the file itself may be asked for. */
async function open(browser, viewport, scheme) {
  const tab = await browser.newPage();
  const asked = [];
  tab.on("request", (request) => asked.push(request.url()));
  await tab.setViewport(viewport);
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.goto(ADDRESS, { waitUntil: "load", timeout: 20_000 });
  must(asked.length === 1, `it asks for ${asked.slice(1).join(", ")}`);
  return tab;
}

async function look(browser, name, viewport, scheme) {
  const tab = await open(browser, viewport, scheme);
  const needs = await tab.evaluate(() => document.documentElement.scrollWidth);
  must(needs <= viewport.width, `needs ${needs} px where there are ${viewport.width}`);
  await tab.screenshot({ path: join(told.pictures, `${told.name.replaceAll(" ", "-")}-${name}.png`) });
  // Its own policy forbids scripts, ours too: they come in by the debugger.
  await tab.evaluate(AXE);
  const found = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const words = found.violations.map((one) => `${one.id} (${one.nodes.map((node) => node.html)[0]})`);
  must(words.length === 0, `axe: ${words.join("; ")}`);
  await tab.close();
}

const browser = await puppeteer.launch({
  executablePath: told.program,
  userDataDir: told.profile,
  args: [
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-proxy-server",
    "--disable-dev-shm-usage",
    // The sandbox refuses to work for root; anybody else keeps it.
    ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
  ],
});
try {
  await check("it is valid HTML", async () => {
    const report = await new HtmlValidate({ extends: ["html-validate:recommended"] }).validateFile(told.file);
    const words = report.results.flatMap((one) => one.messages.map((each) => `${each.line}: ${each.message}`));
    must(words.length === 0, `html-validate: ${words.slice(0, 5).join("; ")}`);
  });
  await check("it can be read on a desktop, and by a screen reader", () => look(browser, "light", DESKTOP, "light"));
  await check("it can be read in the dark", () => look(browser, "dark", DESKTOP, "dark"));
  await check("it can be read on a small screen", () => look(browser, "narrow", NARROW, "light"));
  await check("its first page is one page of paper", async () => {
    const tab = await open(browser, DESKTOP, "light");
    await tab.pdf({ path: join(told.pictures, "report-printed.pdf"), preferCSSPageSize: true, printBackground: true });
    await tab.close();
  });
} finally {
  await browser.close();
}
