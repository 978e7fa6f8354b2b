//! Style, script and pictures: small files with validators.

use std::fmt::Write as _;

use crate::rng::Rng;
use crate::site::text::PICTURES;

pub(crate) const STYLE: &str = "/assets/site.css";
pub(crate) const SCRIPT: &str = "/assets/site.js";
pub(crate) const LOGO: &str = "/assets/logo.svg";

/// Address, media type and content of every asset.
pub(crate) fn all(seed: u64) -> Vec<(String, &'static str, String)> {
    let mut assets = vec![
        (STYLE.to_owned(), "text/css; charset=utf-8", STYLE_TEXT.to_owned()),
        (SCRIPT.to_owned(), "text/javascript; charset=utf-8", SCRIPT_TEXT.to_owned()),
        (LOGO.to_owned(), "image/svg+xml", LOGO_TEXT.to_owned()),
        ("/robots.txt".to_owned(), "text/plain; charset=utf-8", ROBOTS_TEXT.to_owned()),
    ];
    let mut rng = Rng::stream(seed, "pictures");
    assets.extend((0..PICTURES).map(|number| {
        (format!("/img/agency-{number:02}.svg"), "image/svg+xml", draw_seascape(&mut rng))
    }));
    assets
}

/// Sky, sun, hills, waves and a few boats.
fn draw_seascape(rng: &mut Rng) -> String {
    let hue = rng.below(60) + 185;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 450\" role=\"img\">\n\
         <rect width=\"800\" height=\"450\" fill=\"hsl({hue} 45% 82%)\"/>\n\
         <circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"hsl(42 90% 78%)\"/>\n",
        90 + rng.below(620),
        60 + rng.below(90),
        24 + rng.below(26),
    );
    for band in 0..14 {
        let mut y = 215 + band * 17;
        let _ = write!(svg, "<path d=\"M0 450V{y}");
        for step in 1..=16 {
            y = 200 + band * 17 + rng.below(24);
            let _ = write!(svg, " Q{} {} {} {y}", step * 50 - 25, y + rng.below(16), step * 50);
        }
        let _ = writeln!(svg, " V450Z\" fill=\"hsl({hue} {}% {}%)\"/>", 30 + band, 70 - band * 3);
    }
    for _ in 0..2 + rng.below(4) {
        let (x, y) = (60 + rng.below(660), 230 + rng.below(120));
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y}h44l-9 12h-26zM{} {}v-34l20 30z\" fill=\"hsl(20 12% 24%)\"/>",
            x + 20,
            y - 3,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

const ROBOTS_TEXT: &str = "User-agent: *\nAllow: /\nSitemap: /sitemap.xml\n";

const LOGO_TEXT: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">\
<rect width=\"64\" height=\"64\" rx=\"10\" fill=\"#12405e\"/>\
<path d=\"M6 40q6.5-8 13 0t13 0 13 0 13 0\" fill=\"none\" stroke=\"#fff\" stroke-width=\"4\"/>\
<path d=\"M6 50q6.5-8 13 0t13 0 13 0 13 0\" fill=\"none\" stroke=\"#8fc3e3\" stroke-width=\"4\"/>\
<path d=\"M32 8v22M32 8l14 16H32\" fill=\"#fff\" stroke=\"#fff\" stroke-width=\"3\"/></svg>\n";

const SCRIPT_TEXT: &str = "\"use strict\";\n\
// The paper reads without scripts; this only opens the menu on small screens.\n\
document.addEventListener(\"DOMContentLoaded\", () => {\n\
  const button = document.querySelector(\"[data-menu]\");\n\
  const menu = document.querySelector(\"nav ul\");\n\
  if (!button || !menu) return;\n\
  button.hidden = false;\n\
  button.addEventListener(\"click\", () => {\n\
    const open = menu.classList.toggle(\"open\");\n\
    button.setAttribute(\"aria-expanded\", String(open));\n\
  });\n\
});\n";

const STYLE_TEXT: &str = ":root { --ink: #1b2430; --paper: #fdfcf8; --sea: #12405e; --line: #d9d4c7; }
* { box-sizing: border-box; }
html { font: 1.0625rem/1.6 Georgia, 'Times New Roman', serif; color: var(--ink); background: var(--paper); }
body { margin: 0 auto; max-width: 70rem; padding: 0 1.25rem 4rem; }
header.site { display: flex; flex-wrap: wrap; align-items: center; gap: 1rem; border-bottom: 3px double var(--line); padding: 1.25rem 0; }
header.site img { width: 3rem; height: 3rem; }
header.site a.name { font-size: 2rem; font-weight: 700; color: var(--sea); text-decoration: none; letter-spacing: -0.01em; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 1.25rem; margin: 0; padding: 0; }
nav a { color: inherit; text-decoration: none; border-bottom: 2px solid transparent; }
nav a:hover, nav a:focus-visible { border-color: var(--sea); }
main { display: grid; gap: 2rem; margin-top: 2rem; }
h1 { font-size: 2.4rem; line-height: 1.15; margin: 0 0 0.5rem; text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 0.35rem; }
h2 a, h3 a { color: var(--sea); text-decoration-thickness: 1px; text-underline-offset: 0.15em; }
.meta { font: 0.85rem/1.4 system-ui, sans-serif; color: #5c6672; }
.lead { font-size: 1.2rem; max-width: 42rem; }
article.story p { max-width: 42rem; hyphens: auto; }
figure { margin: 1.5rem 0; }
figure img { width: 100%; height: auto; border: 1px solid var(--line); }
figcaption { font: 0.85rem/1.4 system-ui, sans-serif; color: #5c6672; margin-top: 0.4rem; }
ol.teasers { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.75rem; }
@media (min-width: 48rem) { ol.teasers { grid-template-columns: 1fr 1fr; } }
ol.teasers > li { border-top: 1px solid var(--line); padding-top: 1rem; }
form.search { display: flex; gap: 0.5rem; }
form.search input { font: inherit; padding: 0.3rem 0.6rem; border: 1px solid var(--line); }
form.search button { font: inherit; padding: 0.3rem 0.9rem; border: 0; background: var(--sea); color: #fff; }
footer.site { margin-top: 3rem; border-top: 3px double var(--line); padding-top: 1rem; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e4da; --paper: #14181d; --sea: #8fc3e3; --line: #39424c; }
  form.search button { color: #14181d; }
}
@media print { header.site nav, form.search, footer.site { display: none; } }
";
