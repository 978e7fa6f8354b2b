// Chromium in front of Seawall: `node browse.mjs '{"program", "port", "pictures", "profile"}'`.
// Prints one JSON object a line, `{"name", "problem"}`, and ends with 0 unless it cannot run at all.
//
// Every name resolves to loopback and no proxy is used, so nothing can leave this machine.
import { readFileSync } from "node:fs";
import { request as ask } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";

const { program, port, pictures, profile } = JSON.parse(process.argv[2]);
// Both come from the folder it runs in, which holds node_modules; this file does not.
const require = createRequire(join(process.cwd(), "package.json"));
const puppeteer = require("puppeteer-core");
const { HtmlValidate } = require("html-validate");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const NARROW = { width: 320, height: 568, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PHONE = { ...NARROW, width: 360, height: 640 };
const WIDE = { width: 1024, height: 640 };
const DESKTOP = { width: 1280, height: 800 };

// The pages that Seawall itself makes. `code` is the cause it must name, `provoke` runs before
// each load, `again` says that it must name a time, `language` that it must come in that one and load
// again by itself, `form` turns the load into a POST, so many `fields` are added to its header, and `headers`.
const LANGUAGES = ["en", "de", "fr", "es", "zh-Hant", "zh-Hans", "uk", "be", "fa", "ar"];
const OWN = [
  { name: "403 no admission", url: "/refused", status: 403, code: "SW-108" },
  { name: "403 no such pass", url: "/.seawall/pass/none", status: 403, code: "SW-109" },
  { name: "405 no forms here", url: "/read-only", status: 405, code: "SW-102", form: "name=value" },
  { name: "413 upload too large", url: "/small", status: 413, code: "SW-105", form: "x".repeat(5000) },
  { name: "414 address too long", url: `/?q=${"x".repeat(9000)}`, status: 414, code: "SW-103" },
  { name: "421 unknown host", host: "nobody.example.org", url: "/", status: 421, code: "SW-107" },
  { name: "431 too many fields", url: "/", status: 431, code: "SW-104", fields: 120 },
  { name: "502 site is down", host: "dead.example.org", url: "/", status: 502, code: "SW-302", again: true },
  { name: "502 for a form", host: "dead.example.org", url: "/", status: 502, code: "SW-302", again: true, form: "a=1" },
  {
    name: "503 site is busy",
    host: "busy.example.org",
    url: "/",
    status: 503,
    code: "SW-301",
    again: true,
    provoke: occupy,
    language: "en",
  },
  ...LANGUAGES.slice(1).map((language) => ({
    name: `503 site is busy in ${language}`,
    host: "busy.example.org",
    url: "/",
    status: 503,
    code: "SW-301",
    again: true,
    provoke: occupy,
    language,
  })),
  {
    name: "504 no stored copy",
    url: "/not-stored",
    status: 504,
    code: "SW-000",
    headers: { "cache-control": "only-if-cached" },
  },
  { name: "504 site is slow", host: "slow.example.org", url: "/never", status: 504, code: "SW-302", again: true },
  // For whoever returns no cookie. The browser does, so it is given the address where it would be sent.
  ...LANGUAGES.map((language) => ({
    name: `429 cheap test in ${language}`,
    status: 429,
    code: "SW-402",
    again: true,
    provoke: sendAround,
    language,
    isApart: true,
  })),
  { name: "429 tried too often", url: "/often", status: 429, code: "SW-110", again: true, provoke: repeat },
  // Last: it uses up what this address may read.
  { name: "429 too many pages", url: "/", status: 429, code: "SW-106", again: true, provoke: exhaust },
];

// The languages in which a page of the archive says that it is a copy.
const NOTED = LANGUAGES;

// How long a request outside of the browser may take, in milliseconds.
const PATIENCE = 10_000;
const ALWAYS = 600_000;

/** One request outside of the browser, from the same address; its status and fields. */
function answer(host, path, fields = {}, patience = PATIENCE) {
  const signal = AbortSignal.timeout(patience);
  const headers = { host, ...fields };
  const options = { host: "127.0.0.1", port, path, headers, servername: host, signal };
  return new Promise((resolve, reject) => {
    const sent = ask({ ...options, rejectUnauthorized: false }, (response) => {
      response.resume();
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function status(host, path, patience = PATIENCE) {
  return (await answer(host, path, {}, patience)).status;
}

// The request that occupies the busy site, with how it `ended`: it should not.
let occupant = null;
let probes = 0;

/** Keeps the only place in the busy site taken: the answer never comes. */
async function occupy() {
  let ended = "it never got there";
  for (let tries = 0; tries < 100; tries += 1) {
    if (occupant === null) {
      const own = (occupant = { ended: null });
      status("busy.example.org", "/never", ALWAYS).then(
        (code) => (own.ended = `it was answered with ${code}`),
        (error) => (own.ended = error.message),
      );
    }
    // A path of its own each time, so that nothing held answers it.
    probes += 1;
    if ((await status("busy.example.org", `/probe-${probes}`)) === 503) {
      return;
    }
    if (occupant.ended !== null) {
      ended = occupant.ended;
      occupant = null;
    }
  }
  throw new Error(`the busy site's only place never stayed taken: ${ended}`);
}

const TESTED = ["/tested-one", "/tested-two", "/tested-three"];

/** Has the page be the one that waits: its address is where somebody is sent who asks for something tested. */
async function sendAround(page) {
  const person = { accept: "text/html", "sec-fetch-mode": "navigate" };
  const codes = [];
  for (const path of TESTED) {
    const { status: code, headers } = await answer("example.org", path, person);
    codes.push(code);
    if (code === 307) {
      page.url = headers.location;
      // Who leaves twenty open in a minute is refused. To look at the page that waits opens none.
      const cookie = headers["set-cookie"][0].split(";")[0];
      const passed = await answer("example.org", path, { ...person, cookie });
      must(passed.status !== 307 && passed.status !== 429, `the test is not passed: ${passed.status}`);
      return;
    }
  }
  throw new Error(`nothing is put to the test: ${codes}`);
}

async function repeat() {
  for (let asked = 0; asked < 100; asked += 1) {
    // A page of its own each time: what is held is not counted.
    if ((await status("example.org", `/often?${asked}`)) === 429) {
      return;
    }
  }
  throw new Error("the budget of the route never ran out");
}

async function exhaust() {
  for (let asked = 0; asked < 2000; asked += 1) {
    if ((await status("example.org", "/")) === 429) {
      return;
    }
  }
  throw new Error("the budget for held pages never ran out");
}

function address(page) {
  return `https://${page.host ?? "example.org"}:${port}${page.url}`;
}

function must(holds, what) {
  if (!holds) {
    throw new Error(what);
  }
}

/** Loads a page in a tab of its own; everything it asked for is in `asked`. */
async function load(browser, page, { view, script }) {
  const tab = await browser.newPage();
  await tab.setViewport(view);
  await tab.setJavaScriptEnabled(script);
  const asked = [];
  let isThere = false;
  await tab.setRequestInterception(true);
  tab.on("request", (request) => {
    const isNavigation = request.isNavigationRequest();
    if (isNavigation && isThere) {
      // A page that loads again by itself stays as it came, however long looking at it takes.
      request.abort("aborted");
      return;
    }
    asked.push(request.url());
    const headers = { ...request.headers(), "content-type": "application/x-www-form-urlencoded" };
    request.continue(page.form && isNavigation ? { method: "POST", postData: page.form, headers } : {});
  });
  if (page.language) {
    await tab.setExtraHTTPHeaders({ "accept-language": page.language });
  }
  if (page.headers) {
    await tab.setExtraHTTPHeaders(page.headers);
  }
  if (page.fields) {
    const fields = Array.from({ length: page.fields }, (_, number) => [`x-${number}`, "1"]);
    await tab.setExtraHTTPHeaders(Object.fromEntries(fields));
  }
  // A budget refills while a page is on its way: three tries, not one.
  for (let attempt = 1; ; attempt += 1) {
    asked.length = 0;
    isThere = false;
    await page.provoke?.(page);
    const answer = await tab.goto(address(page), { waitUntil: "load", timeout: 20_000 });
    isThere = true;
    if (answer.status() === page.status || attempt === 3) {
      must(answer.status() === page.status, `status ${answer.status()} instead of ${page.status}`);
      return { tab, answer, asked };
    }
  }
}

async function accessible(tab) {
  await tab.evaluate(AXE);
  const found = await tab.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const words = found.violations.map((one) => `${one.id} (${one.nodes.map((node) => node.html)[0]})`);
  must(words.length === 0, `axe: ${words.join("; ")}`);
}

/** What the rules of HTML say of a page as it was sent. */
async function valid(answer) {
  const report = await new HtmlValidate({ extends: ["html-validate:recommended"] }).validateString(await answer.text());
  const words = report.results.flatMap((one) => one.messages.map((message) => `${message.ruleId} at ${message.line}`));
  must(words.length === 0, `html-validate: ${words.join("; ")}`);
}

/** The origin's page: everything of it comes, over HTTP/2. */
async function site(browser) {
  const page = { url: "/", status: 200 };
  const { tab } = await load(browser, page, { view: WIDE, script: true });
  const seen = await tab.evaluate(() => ({
    protocols: ["navigation", "resource"].flatMap((kind) =>
      performance.getEntriesByType(kind).map((entry) => entry.nextHopProtocol),
    ),
    spacing: getComputedStyle(document.querySelector("h1")).letterSpacing,
    picture: document.querySelector("img").naturalWidth,
  }));
  must(seen.protocols.length === 3, `${seen.protocols.length} things were loaded instead of 3`);
  must(
    seen.protocols.every((protocol) => protocol === "h2"),
    `protocols ${seen.protocols}`,
  );
  must(seen.spacing === "3px", `the style sheet has no effect: letter spacing ${seen.spacing}`);
  must(seen.picture > 0, "the picture was not drawn");
  await accessible(tab);
  await tab.close();
}

/** One of Seawall's own pages, as an old phone without script and as a large screen see it. */
async function own(browser, page) {
  const picture = (view) => join(pictures, `${page.name.replaceAll(" ", "-")}-${view}.png`);
  const narrow = await load(browser, page, { view: NARROW, script: false });
  const shape = await narrow.tab.evaluate(() => ({
    text: document.body.innerText,
    needs: document.documentElement.scrollWidth,
    smallest: Math.min(...[...document.querySelectorAll("main *")].map((e) => parseFloat(getComputedStyle(e).fontSize))),
  }));
  await narrow.tab.screenshot({ path: picture("narrow") });
  must(shape.needs <= NARROW.width, `needs ${shape.needs} px where there are ${NARROW.width}`);
  must(shape.smallest >= 14, `text of ${shape.smallest} px is too small to read`);
  await narrow.tab.close();

  const wide = await load(browser, page, { view: WIDE, script: true });
  const { tab, answer, asked } = wide;
  const headers = answer.headers();
  const seen = await tab.evaluate(() => ({
    text: document.body.innerText,
    title: document.title,
    heading: [...document.querySelectorAll("h1")].map((e) => e.innerText).join("|"),
    language: document.documentElement.lang,
    direction: getComputedStyle(document.documentElement).direction,
    scripts: document.querySelectorAll("script,[onclick],[onload],[onerror]").length,
    background: getComputedStyle(document.documentElement).backgroundColor,
    advice: document.querySelectorAll("main p").length,
  }));
  // Each load is told a time of its own; Arabic has another word for seconds up to ten.
  const timeless = (text) => text.replace(/\p{Nd}+/gu, "N").replace("ثوانٍ", "ثانية");
  must(timeless(seen.text) === timeless(shape.text), `another text without script: ${shape.text}`);
  must(seen.scripts === 0, "it holds a script");
  must(seen.text.includes(page.code), `code ${page.code} is missing: ${seen.text}`);
  const language = page.language ?? "en";
  must(seen.language === language, `language \`${seen.language}\``);
  must(seen.direction === (["ar", "fa"].includes(language) ? "rtl" : "ltr"), `written ${seen.direction}`);
  must(!page.language || headers.refresh === headers["retry-after"], "it does not load again by itself");
  // Arabic and Persian digits end in the digit they mean.
  const western = seen.text.replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => digit.charCodeAt(0) & 15).replaceAll("\u00a0", " ");
  must(!page.language || western.includes(` ${headers["retry-after"]} `), "it says another time than it waits");
  must(seen.heading.length > 0 && seen.title.includes(seen.heading), `title \`${seen.title}\``);
  must(seen.advice >= 2, "it does not say what to do");
  must(headers["cache-control"] === "no-store", "it may be stored");
  must(!page.again || Number(headers["retry-after"]) > 0, "it does not say when to try again");
  must(asked.length === 1, `it asks for more: ${asked.slice(1)}`);
  await valid(answer);
  await tab.screenshot({ path: picture("light") });
  await accessible(tab);
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await tab.screenshot({ path: picture("dark") });
  const dark = await tab.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  must(dark !== seen.background, "the dark scheme looks like the light one");
  await accessible(tab);
  await tab.close();
}

/** What a page with the note looks like, and where its content lies with the note and without. */
function examine() {
  const [note] = document.querySelectorAll("section.seawall-note");
  const details = note.querySelector("details");
  const places = () =>
    [...document.querySelectorAll("header, main, main p, footer")].map((e) => {
      const { x, y, width, height } = e.getBoundingClientRect();
      return [x, y, width, height].join();
    });
  const box = details.getBoundingClientRect();
  const sizes = [...note.querySelectorAll("summary, p, time")].map((e) => parseFloat(getComputedStyle(e).fontSize));
  const seen = {
    text: note.innerText,
    direction: getComputedStyle(note).direction,
    language: note.lang,
    visible: box.width > 0 && box.x >= 0 && box.right <= innerWidth && box.y >= innerHeight / 2 && box.bottom <= innerHeight,
    height: note.querySelector("summary").getBoundingClientRect().height,
    smallest: Math.min(...sizes),
    background: getComputedStyle(details).backgroundColor,
    opacity: getComputedStyle(details).opacity,
    needs: document.documentElement.scrollWidth,
    open: details.open,
    places: places().join(";"),
  };
  note.remove();
  const without = places().join(";");
  document.body.prepend(note);
  return { ...seen, without };
}

/** The note on a page of the archive: at 320 px without script, on a phone, on a desktop, in the dark. */
async function noted(browser, language) {
  const page = { url: `/noted/${language}.html`, status: 200 };
  const picture = (view) => join(pictures, `note-${language}-${view}.png`);
  const look = async (view, name, script) => {
    const { tab, answer } = await load(browser, page, { view, script });
    const seen = await tab.evaluate(examine);
    await tab.screenshot({ path: picture(name) });
    must(seen.language === language, `language \`${seen.language}\``);
    must(seen.direction === (["ar", "fa"].includes(language) ? "rtl" : "ltr"), `written ${seen.direction}`);
    must(seen.open && seen.visible && seen.opacity === "1", `${name}: it is not to be seen`);
    must(seen.needs <= view.width, `${name}: the page needs ${seen.needs} px`);
    must(seen.smallest >= 16, `${name}: text of ${seen.smallest} px`);
    must(seen.height >= 44, `${name}: what closes it is ${seen.height} px high`);
    must(seen.places === seen.without, `${name}: the page lies elsewhere than without the note`);
    return { tab, answer, seen };
  };
  // At 200 % a screen of 640 px has room for 320.
  const narrow = await look(NARROW, "narrow", false);
  await narrow.tab.close();
  const phone = await look(PHONE, "phone", false);
  await phone.tab.click("section.seawall-note summary");
  const left = await phone.tab.evaluate(() => document.querySelector("section.seawall-note details").getBoundingClientRect().height);
  must(left === 0, `closed it still covers ${left} px`);
  await phone.tab.screenshot({ path: picture("closed") });
  await phone.tab.close();

  const { tab, answer, seen } = await look(DESKTOP, "desktop", true);
  await accessible(tab);
  await tab.keyboard.press("Tab");
  const reached = await tab.evaluate(() => document.activeElement.matches("section.seawall-note summary"));
  must(reached, "the keyboard does not reach it first");
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await tab.screenshot({ path: picture("dark") });
  const dark = await tab.evaluate(examine);
  must(dark.background !== seen.background, "the dark scheme looks like the light one");
  await accessible(tab);
  // Puppeteer does not know this one.
  const session = await tab.createCDPSession();
  await session.send("Emulation.setEmulatedMedia", { features: [{ name: "forced-colors", value: "active" }] });
  await tab.screenshot({ path: picture("forced") });
  await accessible(tab);
  await tab.focus("section.seawall-note summary");
  await tab.keyboard.press("Enter");
  must(!(await tab.evaluate(() => document.querySelector("section.seawall-note details").open)), "a key does not close it");
  await valid(answer);
  await tab.close();
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

const browser = await puppeteer.launch({
  executablePath: program,
  userDataDir: profile,
  acceptInsecureCerts: true,
  args: [
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--no-proxy-server",
    "--disable-dev-shm-usage",
    // The sandbox refuses to work for root; anybody else keeps it.
    ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
  ],
});
try {
  // Before all else and with cookies of its own: a reader who has been here for long has a budget of its own,
  // and the last of the pages below is about one who has not.
  const apart = await browser.createBrowserContext();
  for (const language of NOTED) {
    await check(`the note of an archived page in ${language}`, () => noted(apart, language));
  }
  await apart.close();
  await check("a page and what belongs to it arrive over HTTP/2", () => site(browser));
  for (const page of OWN) {
    // With cookies of its own, where one that an earlier page brought would spoil it.
    const apart = page.isApart ? await browser.createBrowserContext() : null;
    await check(page.name, () => own(apart ?? browser, page));
    await apart?.close();
  }
} finally {
  await browser.close();
}
// A request that occupies the busy site would keep this program alive.
process.exit(0);
