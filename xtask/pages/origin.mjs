// The web server behind Seawall in `cargo xtask pages`: one page with what belongs to it, an echo
// for uploads, and paths that never answer. Usage: node origin.mjs PORT...
//
// It says nothing about itself and keeps nothing: what is checked is what arrives at a client. Pages of the archive
// with their note come from what the tests of `seawall-archive` keep.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Harbour</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<main>
<h1>The wall held</h1>
<img src="/picture.svg" alt="A wall between waves and a village" width="160" height="80">
${"<p>The harbour wall held through every storm of the winter, and the boats lay safe.</p>\n".repeat(400)}</main>
</body>
</html>
`;
const STYLE = "body{font:1rem/1.5 sans-serif;margin:1rem}h1{letter-spacing:3px}\n";
const PICTURE = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 80">
<rect width="160" height="80" fill="#cde"/><rect x="70" y="20" width="12" height="60" fill="#555"/></svg>
`;
const FILES = new Map([
  ["/", ["text/html; charset=utf-8", PAGE]],
  ["/style.css", ["text/css; charset=utf-8", STYLE]],
  ["/picture.svg", ["image/svg+xml", PICTURE]],
]);

const ARCHIVE = new URL("../../crates/seawall-archive/", import.meta.url);
const NOTED = new URL("testdata/note/", ARCHIVE);
for (const name of readdirSync(NOTED)) {
  FILES.set(`/noted/${name}`, ["text/html; charset=utf-8", readFileSync(new URL(name, NOTED), "utf8")]);
}
const NOTE_STYLE = readFileSync(new URL("src/note/note.css", ARCHIVE), "utf8");
FILES.set("/.well-known/seawall/note.css", ["text/css; charset=utf-8", NOTE_STYLE]);

function answer(request, response) {
  const file = FILES.get(request.url);
  if (request.url === "/echo" && request.method === "POST") {
    response.writeHead(200, { "content-type": "application/octet-stream", "cache-control": "no-store" });
    request.pipe(response);
  } else if (file) {
    const [kind, text] = file;
    const etag = `"${createHash("sha256").update(text).digest("hex").slice(0, 16)}"`;
    response.writeHead(200, {
      "content-type": kind,
      "content-length": Buffer.byteLength(text),
      "cache-control": "public, max-age=3600",
      etag,
    });
    response.end(request.method === "HEAD" ? "" : text);
  } else if (request.url.startsWith("/tested")) {
    // Nobody is tested for what is in hand.
    response.writeHead(404, { "content-type": "text/plain", "cache-control": "no-store" }).end("no such page\n");
  } else if (request.url !== "/never") {
    response.writeHead(404, { "content-type": "text/plain" }).end("no such page\n");
  }
}

for (const port of process.argv.slice(2)) {
  createServer(answer).listen(Number(port), "127.0.0.1");
}
