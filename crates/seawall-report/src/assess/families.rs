//! Names that tools give themselves, as the attribute `browser` has them.

/// Whether this family of user agents is a tool and no browser of a person.
pub(super) fn is_tool(family: &str) -> bool {
    let family = family.to_ascii_lowercase();
    TOOLS.iter().any(|tool| family.contains(tool))
}

/// Whether it says that it is a browser of a person.
pub(super) fn is_browser(family: &str) -> bool {
    let family = family.to_ascii_lowercase();
    !is_tool(&family) && BROWSERS.iter().any(|browser| family.contains(browser))
}

const BROWSERS: &[&str] =
    &["chrome", "firefox", "safari", "edge", "opera", "samsung", "msie", "trident"];

/// Libraries, load generators and browsers without a window that write their name.
const TOOLS: &[&str] = &[
    "aiohttp",
    "apachebench",
    "apache-httpclient",
    "axios",
    "curl",
    "go-http-client",
    "goldeneye",
    "headless",
    "httpx",
    "hulk",
    "java",
    "jmeter",
    "k6",
    "libwww-perl",
    "locust",
    "mhddos",
    "node-fetch",
    "okhttp",
    "phantomjs",
    "python",
    "reqwest",
    "ruby",
    "scrapy",
    "siege",
    "slowhttptest",
    "undici",
    "urllib",
    "vegeta",
    "wget",
    "wrk",
];
