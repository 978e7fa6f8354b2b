// Pages of a real site beside their copies: `node copies.mjs '{"program", "origin", "seawall", "paths", "export", "files", "pictures", "profile"}'`.
// `origin` and `seawall` are ports of the same site, `export` is a folder with it as files. Prints one JSON
// object a line, `{"name", "problem"}`, and ends with 0 unless it cannot run at all.
//
// Nobody here wrote the site's pages, so they may have faults: what counts is what a copy has beyond that.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const told = JSON.parse(process.argv[2]);
const require = createRequire(join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const { HtmlValidate } = require("html-validate");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PHONE = { width: 360, height: 640, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const DESKTOP = { width: 1280, height: 800 };
const HOST = "http://example.test";

function must(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

function launch(port, profile) {
  return puppeteer.launch({
    executablePath: told.program,
    userDataDir: `${told.profile}-${profile}`,
    args: [
      `--host-resolver-rules=MAP example.test:80 127.0.0.1:${port}, MAP * ~NOTFOUND`,
      "--no-proxy-server",
      "--disable-dev-shm-usage",
      "--allow-file-access-from-files",
      // The sandbox refuses to work for root; anybody else keeps it.
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
    ],
  });
}

/** What two programs have against a page: each kind of fault with how often there is one. */
async function faults(tab, html) {
  const report = await new HtmlValidate({ extends: ["html-validate:recommended"] }).validateString(html);
  const found = report.results.flatMap((one) => one.messages.map((message) => `html-validate ${message.ruleId}`));
  await tab.evaluate(AXE);
  const seen = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  found.push(...seen.violations.flatMap((one) => one.nodes.map(() => `axe ${one.id}`)));
  const counts = new Map();
  for (const fault of found) counts.set(fault, (counts.get(fault) ?? 0) + 1);
  return counts;
}

async function open(browser, path, viewport) {
  const tab = await browser.newPage();
  await tab.setViewport(viewport);
  const answer = await tab.goto(HOST + path, { waitUntil: "load", timeout: 60_000 });
  return { tab, html: await answer.text(), headers: answer.headers() };
}

/** A copy has no fault that the page does not have. */
async function compare(site, copy, path, number) {
  const before = await open(site, path, DESKTOP);
  const known = await faults(before.tab, before.html);
  await before.tab.close();
  const after = await open(copy, path, DESKTOP);
  const isCopy = after.headers["memento-datetime"] !== undefined;
  // What the cache holds goes before an older copy, and is the site's own page.
  must(isCopy === after.html.includes('class="seawall-note"'), "there is a note, or none, and should not be");
  await after.tab.screenshot({ path: join(told.pictures, `copy-${number}-desktop.png`) });
  const now = await faults(after.tab, after.html);
  const further = [...now].filter(([fault, count]) => count > (known.get(fault) ?? 0));
  await after.tab.setViewport(PHONE);
  await after.tab.screenshot({ path: join(told.pictures, `copy-${number}-phone.png`) });
  const wide = await after.tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await after.tab.close();
  must(further.length === 0, further.map(([fault, count]) => `${fault}: ${count} and not ${known.get(fault) ?? 0}`).join("; "));
  const wasWide = await width(site, path);
  must(wide <= Math.max(0, wasWide), `it is ${wide} pixels too wide for a phone, and was ${wasWide}`);
}

async function width(site, path) {
  const { tab } = await open(site, path, PHONE);
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await tab.close();
  return wide;
}

/** A page of the export: all that it loads is there, and its links lead to files or to the site itself. */
async function file(browser, name, number) {
  const tab = await browser.newPage();
  const failed = [];
  // What a script fetches by an address that it makes up itself is the site's.
  tab.on("requestfailed", (request) => request.url().startsWith("file:") && failed.push(request.url()));
  await tab.setViewport(DESKTOP);
  await tab.goto(pathToFileURL(join(told.export, name)).href, { waitUntil: "load", timeout: 60_000 });
  // Those below are loaded when they come near.
  await tab.evaluate(async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  });
  await tab.screenshot({ path: join(told.pictures, `export-${number}.png`) });
  const seen = await tab.evaluate(() => ({
    links: [...document.querySelectorAll("a[href]")].map((link) => link.href),
    styles: [...document.querySelectorAll("link[rel=stylesheet]")].map((link) => link.sheet !== null),
    images: [...document.images].map((image) => image.naturalWidth),
  }));
  await tab.close();
  must(failed.length === 0, `not loaded: ${failed.slice(0, 3).join(", ")}`);
  must(seen.styles.length > 0 && seen.styles.every((loaded) => loaded), "a style sheet does not load");
  must(seen.images.every((wide) => wide > 0), "an image does not load");
  const files = seen.links.filter((link) => link.startsWith("file:"));
  const dead = files.filter((link) => !existsSync(fileURLToPath(link.split(/[?#]/)[0])));
  must(files.length > 5, `only ${files.length} links lead to files`);
  must(dead.length === 0, `no file: ${dead.slice(0, 3).join(", ")}`);
}

async function check(name, run) {
  let problem = null;
  try {
    await run();
  } catch (error) {
    problem = error.message;
  }
  console.log(JSON.stringify({ name, problem }));
}

const site = await launch(told.origin, "site");
const copy = await launch(told.seawall, "copy");
try {
  for (const [number, path] of told.paths.entries()) {
    await check(`the copy of ${path}`, () => compare(site, copy, path, number));
  }
  for (const [number, name] of told.files.entries()) {
    await check(`the file ${name}`, () => file(copy, name, number));
  }
} finally {
  await Promise.all([site.close(), copy.close()]);
}
