//! What clients look like: browsers by share, and the tools that floods are made with.
//!
//! Small tables of our own, in the proportions that public browser statistics show: few families, a
//! handful of versions each, many languages. What matters is that families differ in all that is
//! hashed (TLS, preface, order of fields) and that readers of one family do not.

use seawall_model::{Fields, Fingerprint, HttpVersion, Ja4};

use crate::random::Random;

/// What a client looks like, in all its requests.
#[derive(Clone, Debug)]
pub struct Look {
    /// JA4 of its TLS.
    pub ja4: Option<Ja4>,
    /// Its HTTP/2 preface; `None` over HTTP/1.1.
    pub preface: Option<u64>,
    /// Names the order of its fields.
    pub order: u64,
    /// The protocol it speaks.
    pub version: HttpVersion,
    /// Its fields, but for those that depend on the request.
    pub fields: Vec<(&'static str, String)>,
    /// Whether it adds fetch metadata.
    pub has_fetch_metadata: bool,
}

/// The fields of one request.
#[derive(Clone, Copy, Debug)]
pub struct RequestFields<'a> {
    /// Who sends them.
    pub look: &'a Look,
    /// The `Cookie` field.
    pub cookie: Option<&'a str>,
    /// The `Referer` field.
    pub referer: Option<&'a str>,
    /// `Sec-Fetch-Dest`, where the look has such fields: `document`, `image`, ...
    pub dest: &'static str,
}

impl Fields for RequestFields<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.first(name) {
            visit(value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let is_document = self.dest == "document";
        let has = self.look.has_fetch_metadata;
        match name {
            "host" => Some(b"example.org"),
            "cookie" => self.cookie.map(str::as_bytes),
            "referer" => self.referer.map(str::as_bytes),
            "sec-fetch-dest" if has => Some(self.dest.as_bytes()),
            "sec-fetch-mode" if has => Some(if is_document { b"navigate" } else { b"no-cors" }),
            "sec-fetch-site" if has => Some(match (self.referer, is_document) {
                (None, true) => b"none",
                _ => b"same-origin",
            }),
            "sec-fetch-user" if has && is_document => Some(b"?1"),
            "accept" if !is_document && has => Some(b"*/*"),
            _ => {
                let named = self.look.fields.iter().find(|(other, _)| *other == name);
                named.map(|(_, value)| value.as_bytes())
            }
        }
    }
}

impl RequestFields<'_> {
    /// How many field lines there are.
    pub fn count(&self) -> usize {
        let metadata = if !self.look.has_fetch_metadata {
            0
        } else if self.dest == "document" {
            4
        } else {
            3
        };
        let own = usize::from(self.cookie.is_some()) + usize::from(self.referer.is_some());
        1 + self.look.fields.len() + own + metadata
    }

    /// What these fields and the connection look like.
    pub fn fingerprint(&self) -> Fingerprint {
        // Which fields there are is part of their order.
        let own = u64::from(self.cookie.is_some()) + 2 * u64::from(self.referer.is_some());
        let kind = if self.dest == "document" { 0 } else { 4 };
        Fingerprint {
            ja4: self.look.ja4,
            http2_preface: self.look.preface,
            field_order: Some(mix(self.look.order, own + kind)),
        }
    }
}

/// One family of browsers.
struct Browser {
    /// Its share of readers, in per cent.
    share: f64,
    ja4: &'static str,
    /// `{}` stands for the major version.
    user_agent: &'static str,
    /// Major versions, the newest first; half of the readers have the first one.
    versions: &'static [u32],
    accept: &'static str,
    encodings: &'static str,
    /// The brand in client hints, where it sends them.
    brand: Option<&'static str>,
}

const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const CHROME_HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,\
                           image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
const CHROME_TLS: &str = "t13d1516h2_8daaf6152771_d8a2da3f94cd";

const BROWSERS: &[Browser] = &[
    Browser {
        share: 31.0,
        ja4: CHROME_TLS,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                     Gecko) Chrome/{}.0.0.0 Safari/537.36",
        versions: &[144, 143, 142, 139, 131, 109],
        accept: CHROME_HTML,
        encodings: "gzip, deflate, br, zstd",
        brand: Some("Google Chrome"),
    },
    Browser {
        share: 27.0,
        ja4: "t13d1516h2_8daaf6152771_02713d6af862",
        user_agent: "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/{}.0.0.0 Mobile Safari/537.36",
        versions: &[144, 143, 142, 138, 127],
        accept: CHROME_HTML,
        encodings: "gzip, deflate, br, zstd",
        brand: Some("Google Chrome"),
    },
    Browser {
        share: 17.0,
        ja4: "t13d2014h2_a09f3c656075_14788d8d241b",
        user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 \
                     (KHTML, like Gecko) Version/{}.0 Mobile/15E148 Safari/604.1",
        versions: &[26, 18, 17, 16],
        accept: HTML,
        encodings: "gzip, deflate, br",
        brand: None,
    },
    Browser {
        share: 10.0,
        ja4: "t13d1717h2_5b57614c22b0_3cbfd9057e0d",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
        versions: &[147, 146, 140, 128, 115],
        accept: HTML,
        encodings: "gzip, deflate, br, zstd",
        brand: None,
    },
    Browser {
        share: 7.0,
        ja4: CHROME_TLS,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                     Gecko) Chrome/{}.0.0.0 Safari/537.36 Edg/{}.0.0.0",
        versions: &[144, 143, 142],
        accept: CHROME_HTML,
        encodings: "gzip, deflate, br, zstd",
        brand: Some("Microsoft Edge"),
    },
    Browser {
        share: 5.0,
        ja4: "t13d2014h2_a09f3c656075_e42f34c56612",
        user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, \
                     like Gecko) Version/{}.0 Safari/605.1.15",
        versions: &[26, 18, 17],
        accept: HTML,
        encodings: "gzip, deflate, br",
        brand: None,
    },
    Browser {
        share: 3.0,
        ja4: "t13d1517h2_8daaf6152771_b0da82dd1658",
        user_agent: "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-A546B) AppleWebKit/537.36 (KHTML, \
                     like Gecko) SamsungBrowser/{}.0 Chrome/125.0.0.0 Mobile Safari/537.36",
        versions: &[29, 28, 27],
        accept: CHROME_HTML,
        encodings: "gzip, deflate, br",
        brand: Some("Samsung Internet"),
    },
];

/// Languages and their shares: the paper is read at home and by those who left.
const LANGUAGES: &[(f64, &str)] = &[
    (34.0, "en-US,en;q=0.9"),
    (16.0, "en-GB,en;q=0.9"),
    (12.0, "fil-PH,fil;q=0.9,en-US;q=0.8,en;q=0.7"),
    (8.0, "es-ES,es;q=0.9"),
    (7.0, "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    (6.0, "fr-FR,fr;q=0.9,en;q=0.8"),
    (5.0, "ar,en-US;q=0.9,en;q=0.8"),
    (4.0, "zh-CN,zh;q=0.9"),
    (3.0, "ru-RU,ru;q=0.9,en;q=0.6"),
    (3.0, "pt-BR,pt;q=0.9"),
    (2.0, "ja,en-US;q=0.7,en;q=0.3"),
];

/// A browser as readers have them.
pub(crate) fn browser(random: &mut Random) -> Look {
    let family = &BROWSERS[weighted(random, BROWSERS.iter().map(|browser| browser.share))];
    let version = match random.unit() {
        first if first < 0.5 => 0,
        _ => random.below(family.versions.len()),
    };
    let language = LANGUAGES[weighted(random, LANGUAGES.iter().map(|(share, _)| *share))].1;
    family.look(family.versions[version], language)
}

/// Tor Browser: all of them look alike, that is what it is for.
pub(crate) fn tor_browser() -> Look {
    Browser {
        share: 0.0,
        ja4: "t13d1715h2_5b57614c22b0_7121afd63204",
        user_agent: "Mozilla/5.0 (Windows NT 10.0; rv:{}.0) Gecko/20100101 Firefox/{}.0",
        versions: &[140],
        accept: HTML,
        encodings: "gzip, deflate, br, zstd",
        brand: None,
    }
    .look(140, "en-US,en;q=0.5")
}

impl Browser {
    fn look(&self, version: u32, language: &str) -> Look {
        let number = version.to_string();
        let mut fields = Vec::with_capacity(9);
        if let Some(brand) = self.brand {
            let hint = format!("\"Chromium\";v=\"{number}\", \"{brand}\";v=\"{number}\"");
            let mobile = if self.user_agent.contains("Mobile") { "?1" } else { "?0" };
            fields.push(("sec-ch-ua", hint));
            fields.push(("sec-ch-ua-mobile", mobile.to_owned()));
            fields.push(("sec-ch-ua-platform", "\"Windows\"".to_owned()));
        }
        fields.push(("upgrade-insecure-requests", "1".to_owned()));
        fields.push(("user-agent", self.user_agent.replace("{}", &number)));
        fields.push(("accept", self.accept.to_owned()));
        fields.push(("accept-encoding", self.encodings.to_owned()));
        fields.push(("accept-language", language.to_owned()));
        let family = hash(self.ja4.as_bytes());
        Look {
            ja4: ja4(self.ja4),
            preface: Some(mix(family, 2)),
            order: mix(hash(self.brand.unwrap_or("none").as_bytes()), family),
            version: HttpVersion::Http2,
            fields,
            has_fetch_metadata: true,
        }
    }
}

/// A program with a name and the fields that it sends.
struct Tool {
    ja4: &'static str,
    user_agent: &'static str,
    accept: &'static str,
    encodings: Option<&'static str>,
    is_http2: bool,
}

/// What floods are made with, and what feed readers and crawlers are.
const TOOLS: &[Tool] = &[
    Tool {
        ja4: "t13d1812h1_85036bcba153_375ca2c5e164",
        user_agent: "python-requests/2.32.3",
        accept: "*/*",
        encodings: Some("gzip, deflate"),
        is_http2: false,
    },
    Tool {
        ja4: "t13d1312h2_f57a46bbacb6_ab7e3b40a677",
        user_agent: "Go-http-client/2.0",
        accept: "*/*",
        encodings: Some("gzip"),
        is_http2: true,
    },
    Tool {
        ja4: "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6",
        user_agent: "curl/8.5.0",
        accept: "*/*",
        encodings: None,
        is_http2: true,
    },
    Tool {
        ja4: "t13d591000_a33745022dd6_1f22a2ca17c4",
        user_agent: "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:40.0) Gecko/20100101 Firefox/40.1",
        accept: "text/html,*/*;q=0.8",
        encodings: Some("gzip, deflate, br"),
        is_http2: false,
    },
    Tool {
        ja4: "t13d5212h1_b262b3658495_8e6e362c5eac",
        user_agent: "Apache-HttpClient/4.5.14 (Java/17.0.9)",
        accept: "*/*",
        encodings: Some("gzip,deflate"),
        is_http2: false,
    },
    Tool {
        ja4: "t12d220700_0d4ca5d4ec72_3304d8368043",
        user_agent: "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.0)",
        accept: "*/*",
        encodings: None,
        is_http2: false,
    },
];

/// How many tools there are.
pub(crate) const TOOL_COUNT: usize = TOOLS.len();

/// A tool as it comes.
pub(crate) fn tool(number: usize) -> Look {
    let tool = &TOOLS[number % TOOLS.len()];
    let mut fields =
        vec![("user-agent", tool.user_agent.to_owned()), ("accept", tool.accept.to_owned())];
    if let Some(encodings) = tool.encodings {
        fields.push(("accept-encoding", encodings.to_owned()));
    }
    let name = hash(tool.user_agent.as_bytes());
    Look {
        ja4: ja4(tool.ja4),
        preface: tool.is_http2.then(|| mix(name, 3)),
        order: mix(name, 4),
        version: if tool.is_http2 { HttpVersion::Http2 } else { HttpVersion::Http11 },
        fields,
        has_fetch_metadata: false,
    }
}

/// The same tool with the names of other browsers, other languages and another order of fields each
/// time, as flooders of tier L1 do it. Its TLS stays.
pub(crate) fn rotating(number: usize, random: &mut Random) -> Look {
    let (mut look, worn) = (tool(number), browser(random));
    look.fields = worn.fields;
    look.fields.retain(|(name, _)| !name.starts_with("sec-ch"));
    for at in (1..look.fields.len()).rev() {
        look.fields.swap(at, random.below(at + 1));
    }
    look.order = random.bits();
    look
}

/// A feed reader, by number.
pub(crate) fn feed_reader(number: usize) -> Look {
    let mut look = tool(2 + number % 3);
    let names =
        ["FreshRSS/1.26.0", "Miniflux/2.2.3", "NetNewsWire (RSS Reader)", "Feedly/1.0 (poller)"];
    look.fields[0].1 = names[number % names.len()].to_owned();
    look.order = mix(hash(names[number % names.len()].as_bytes()), 5);
    look
}

/// A crawler, by number: the first three say a name that can be verified.
pub(crate) fn crawler(number: usize) -> Look {
    let mut look = tool(number);
    let names = [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
        "Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)",
        "Mozilla/5.0 (compatible; newscollect/0.3)",
        "SiteSauger/2.1",
        "Mozilla/5.0 (compatible; corpus-builder; +https://corpus.example)",
    ];
    look.fields[0].1 = names[number % names.len()].to_owned();
    look.order = mix(hash(names[number % names.len()].as_bytes()), 6);
    look
}

/// An index with the probability of its weight.
pub(crate) fn weighted(random: &mut Random, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let mut left = random.unit() * weights.clone().sum::<f64>();
    let mut last = 0;
    for (at, weight) in weights.enumerate() {
        last = at;
        left -= weight;
        if left < 0.0 {
            return at;
        }
    }
    last
}

/// Two numbers as one.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    Random::new(a ^ b.rotate_left(32)).bits()
}

fn hash(text: &[u8]) -> u64 {
    text.iter().fold(7, |sum, byte| mix(sum, *byte as u64))
}

fn ja4(text: &str) -> Option<Ja4> {
    text.as_bytes().try_into().ok().map(Ja4::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fingerprint_is_a_ja4() {
        let looks = (0..TOOL_COUNT).map(tool).chain([tor_browser()]);
        assert!(looks.into_iter().all(|look| look.ja4.is_some()));
        assert!(BROWSERS.iter().all(|browser| ja4(browser.ja4).is_some()));
    }

    #[test]
    fn a_tool_that_changes_its_names_keeps_its_tls() {
        let mut random = Random::new(3);
        let looks: Vec<Look> = (0..50).map(|_| rotating(1, &mut random)).collect();
        assert!(looks.iter().all(|look| look.ja4 == tool(1).ja4));
        let mut orders: Vec<u64> = looks.iter().map(|look| look.order).collect();
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 50);
    }

    #[test]
    fn browsers_come_by_their_share() {
        let mut random = Random::new(3);
        let chrome = (0..10_000).filter(|_| browser(&mut random).ja4 == ja4(CHROME_TLS)).count();
        assert!((3_500..4_100).contains(&chrome), "{chrome}");
    }
}
