//! What a user agent says it is, and whether the rest of the request agrees.
//!
//! A small total parser of our own: the few families that most readers use, and for everything else
//! the name of the first product. It believes nothing: a claim is an attribute like any other. It does
//! **not** know devices or systems, and lists no bots: what calls itself one has its own name.

use seawall_model::Fields;

/// Which kind of program it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Family {
    /// It says nothing.
    Nothing,
    Firefox,
    Chrome,
    Edge,
    Opera,
    Samsung,
    Safari,
    /// By its own name a robot.
    Bot,
    /// Anything else, by its own name.
    Program,
}

/// What makes the requests, which is what fetch metadata depend on. On iOS all browsers are WebKit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Chromium,
    Gecko,
    WebKit,
    None,
}

/// What a `User-Agent` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agent<'a> {
    pub(super) family: Family,
    /// Of robots and programs: as spelled, at most [`MAX_NAME`] bytes.
    pub(super) name: &'a [u8],
    /// 0: none is said.
    pub(super) major: u32,
    engine: Engine,
    engine_major: u32,
}

impl<'a> Agent<'a> {
    /// Reads the field. Total, O(length), of which 256 bytes count; no allocation.
    pub(super) fn read(text: Option<&'a [u8]>) -> Self {
        let Some(text) = text.filter(|text| !text.trim_ascii().is_empty()) else {
            return Self::new(Family::Nothing, &[], 0);
        };
        let mut found = Products::default();
        for token in Tokens::new(skip_preamble(&text[..text.len().min(MAX_READ)])) {
            found.note(&token);
        }
        found.agent()
    }

    const fn new(family: Family, name: &'a [u8], major: u32) -> Self {
        Self { family, name, major, engine: Engine::None, engine_major: 0 }
    }

    /// How far fetch metadata (W3C Fetch Metadata) and client hints (RFC 8942, UA-CH) agree with it: 0 not at
    /// all, 3 in everything that can be expected of it.
    pub(super) fn consistency(&self, fields: &dyn Fields, transport: Transport) -> u8 {
        let fetch = fields.has("sec-fetch-mode");
        let hints = fields.first("sec-ch-ua");
        if fetch && transport == Transport::Plain {
            // Browsers send neither to an origin that is not secure.
            return 1;
        }
        let missing = match transport {
            Transport::Plain => 3,
            Transport::Unknown => 2,
            Transport::Tls => 1,
        };
        match (self.family, self.engine) {
            (Family::Nothing, _) => 0,
            (Family::Bot | Family::Program, _) if hints.is_some() || fetch => 1,
            (Family::Bot | Family::Program, _) => 3,
            (_, Engine::Chromium) => match hints {
                Some(hints) if !names_version(hints, self.engine_major) => 0,
                Some(_) if fetch => 3,
                Some(_) => 1,
                // Chromium 89 was the first to send hints to everybody.
                None if self.engine_major < 89 => 3,
                None if fetch => 2,
                None => missing,
            },
            (_, Engine::Gecko | Engine::WebKit | Engine::None) => {
                // Firefox 90 and Safari 16.4 were the first; browsers on iOS do not say which they are.
                let since = if self.engine == Engine::Gecko { 90 } else { 17 };
                match (hints.is_some(), fetch) {
                    (true, _) => 0,
                    (false, true) => 3,
                    (false, false) if self.engine_major < since => 3,
                    (false, false) => missing,
                }
            }
        }
    }
}

/// What is known of the way here, for what a browser would have sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
    /// A proxy is between.
    Unknown,
}

/// Whether a list of brands has `v="major"`.
fn names_version(hints: &[u8], major: u32) -> bool {
    hints[..hints.len().min(MAX_READ)].split(|&byte| byte == b'"').any(|part| {
        !part.is_empty() && part.iter().all(u8::is_ascii_digit) && number(part) == major
    })
}

/// What stood in the field, by what it would mean.
#[derive(Default)]
struct Products<'a> {
    bot: Option<(&'a [u8], u32)>,
    brand: Option<(Family, u32)>,
    firefox: Option<u32>,
    chrome: Option<u32>,
    version: u32,
    is_safari: bool,
    is_ios: bool,
    first: Option<(&'a [u8], u32)>,
    bare: Option<&'a [u8]>,
}

impl<'a> Products<'a> {
    fn note(&mut self, token: &Token<'a>) {
        let Token { name, version, is_bot } = *token;
        if (is_bot || name == b"HeadlessChrome") && self.bot.is_none() {
            self.bot = Some((name, version.unwrap_or(0)));
        }
        let Some(version) = version else {
            self.bare = self.bare.or(Some(name));
            return;
        };
        match name {
            b"Mozilla" | b"AppleWebKit" | b"Gecko" | b"Mobile" | b"KHTML" => {}
            b"Chrome" | b"Chromium" => self.chrome = Some(version),
            b"Firefox" => self.firefox = Some(version),
            b"Safari" => self.is_safari = true,
            b"Version" => self.version = version,
            b"Edg" | b"EdgA" | b"Edge" => self.brand = Some((Family::Edge, version)),
            b"OPR" => self.brand = Some((Family::Opera, version)),
            b"SamsungBrowser" => self.brand = Some((Family::Samsung, version)),
            b"FxiOS" => self.on_ios(Family::Firefox, version),
            b"CriOS" => self.on_ios(Family::Chrome, version),
            b"EdgiOS" => self.on_ios(Family::Edge, version),
            // `https://` of an address.
            [.., b':'] => {}
            _ => self.first = self.first.or(Some((name, version))),
        }
    }

    const fn on_ios(&mut self, family: Family, version: u32) {
        self.brand = Some((family, version));
        self.is_ios = true;
    }

    fn agent(self) -> Agent<'a> {
        if let Some((name, major)) = self.bot {
            return Agent::new(Family::Bot, name, major);
        }
        let (engine, engine_major) = match (self.firefox, self.chrome) {
            _ if self.is_ios => (Engine::WebKit, 0),
            (Some(major), _) => (Engine::Gecko, major),
            (None, Some(major)) => (Engine::Chromium, major),
            (None, None) if self.is_safari => (Engine::WebKit, self.version),
            (None, None) => (Engine::None, 0),
        };
        let (family, major) = match (self.brand, engine) {
            (Some(brand), _) => brand,
            (None, Engine::Gecko) => (Family::Firefox, engine_major),
            (None, Engine::Chromium) => (Family::Chrome, engine_major),
            (None, Engine::WebKit) => (Family::Safari, engine_major),
            (None, Engine::None) => {
                let named = self.first.or(self.bare.map(|name| (name, 0)));
                let (name, major) = named.unwrap_or((b"", 0));
                return Agent::new(Family::Program, name, major);
            }
        };
        Agent { family, name: &[], major, engine, engine_major }
    }
}

/// What stands behind what nearly all browsers begin with, which says nothing: a third of the work.
fn skip_preamble(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"Mozilla/5.0 (") else { return text };
    // Where robots give their names.
    if rest.starts_with(b"compatible") {
        return text;
    }
    let Some(end) = rest.iter().position(|&byte| byte == b')') else { return text };
    let rest = rest[end..].strip_prefix(b") ").unwrap_or(&rest[end..]);
    rest.strip_prefix(b"AppleWebKit/537.36 (KHTML, like Gecko) ").unwrap_or(rest)
}

/// A word of the field, with the number behind its `/`.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    name: &'a [u8],
    version: Option<u32>,
    is_bot: bool,
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let start = self.rest.iter().position(|&byte| !ends_token(byte))?;
        let text = &self.rest[start..];
        let end = text.iter().position(|&byte| ends_token(byte)).unwrap_or(text.len());
        let (text, rest) = text.split_at(end);
        self.rest = rest;
        let slash = text.iter().position(|&byte| byte == b'/');
        let name = &text[..slash.unwrap_or(text.len())];
        let version = slash.map(|slash| number(&text[slash + 1..]));
        let is_bot = ends_like_a_bot(name);
        Some(Token { name: &name[..name.len().min(MAX_NAME)], version, is_bot })
    }
}

fn ends_token(byte: u8) -> bool {
    ENDS[byte as usize]
}

/// A look-up, because each byte of each request is asked for.
static ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut at = 0;
    while at < END_BYTES.len() {
        ends[END_BYTES[at] as usize] = true;
        at += 1;
    }
    ends
};
const END_BYTES: &[u8] = b" ();,[]\"\t";

/// Robots call themselves `…bot`, `…crawler` or `…spider`. Cubot makes telephones.
fn ends_like_a_bot(name: &[u8]) -> bool {
    let ends = |with: &[u8]| {
        name.len() >= with.len() && name[name.len() - with.len()..].eq_ignore_ascii_case(with)
    };
    match name.last() {
        Some(b't' | b'T') => ends(b"bot") && !ends(b"cubot"),
        Some(b'r' | b'R') => ends(b"crawler") || ends(b"spider"),
        _ => false,
    }
}

/// The digits that a text begins with, as a number; saturates.
fn number(text: &[u8]) -> u32 {
    text.iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0u32, |number, byte| number.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
}

const MAX_READ: usize = 256;
/// Longer names tell nobody anything.
pub(super) const MAX_NAME: usize = 24;

#[cfg(test)]
mod tests {
    use super::{Agent, Family, Transport};

    #[track_caller]
    fn check(text: &str, family: Family, name: &str, major: u32) {
        let agent = Agent::read(Some(text.as_bytes()));
        assert_eq!((agent.family, agent.name, agent.major), (family, name.as_bytes(), major));
    }

    #[test]
    fn browsers_are_told_by_family_and_major_version() {
        let webkit = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        // Tor Browser says exactly this.
        let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0";
        check(firefox, Family::Firefox, "", 128);
        check(&std::format!("{webkit} Chrome/126.0.0.0 Safari/537.36"), Family::Chrome, "", 126);
        check(
            &std::format!("{webkit} Chrome/125.0.0.0 Safari/537.36 Edg/125.1"),
            Family::Edge,
            "",
            125,
        );
        check(
            &std::format!("{webkit} Chrome/124.0.0.0 Safari/537.36 OPR/110.0"),
            Family::Opera,
            "",
            110,
        );
        check(
            &std::format!("{iphone} Version/17.5 Mobile/15E148 Safari/604.1"),
            Family::Safari,
            "",
            17,
        );
        check(
            &std::format!("{iphone} CriOS/126.0 Mobile/15E148 Safari/604.1"),
            Family::Chrome,
            "",
            126,
        );
        check(
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X18) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Mobile Safari/537.36",
            Family::Chrome,
            "",
            90,
        );
    }

    #[test]
    fn programs_and_robots_have_their_own_names() {
        check("curl/8.5.0", Family::Program, "curl", 8);
        check("python-requests/2.31.0", Family::Program, "python-requests", 2);
        check("Go-http-client/1.1", Family::Program, "Go-http-client", 1);
        check(
            "Feedly/1.0 (+http://www.feedly.com/fetcher.html; 7 subscribers)",
            Family::Program,
            "Feedly",
            1,
        );
        check(
            "NetNewsWire (RSS Reader; https://netnewswire.com/)",
            Family::Program,
            "NetNewsWire",
            0,
        );
        check(
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            Family::Bot,
            "Googlebot",
            2,
        );
        check(
            "Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)",
            Family::Bot,
            "archive.org_bot",
            0,
        );
        check(
            "Mozilla/5.0 (X11) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
            Family::Bot,
            "HeadlessChrome",
            120,
        );
    }

    #[test]
    fn whatever_it_says_it_is_read() {
        for text in ["", " ", "/", "();,", "Mozilla/5.0", "Firefox/99999999999999", "\u{1f980}/1"] {
            let _ = Agent::read(Some(text.as_bytes()));
        }
        assert_eq!(Agent::read(None).family, Family::Nothing);
        assert_eq!(Agent::read(Some(b" ")).family, Family::Nothing);
        let long = "a".repeat(9_000);
        assert_eq!(Agent::read(Some(long.as_bytes())).name.len(), super::MAX_NAME);
    }

    #[track_caller]
    fn consistency(agent: &str, fields: &[(&str, &str)], transport: Transport, want: u8) {
        let fields = crate::attributes::tests::Lines(fields);
        let got = Agent::read(Some(agent.as_bytes())).consistency(&fields, transport);
        assert_eq!(got, want, "{agent} over {transport:?}");
    }

    #[test]
    fn what_a_browser_would_have_sent_is_missed() {
        let chrome =
            "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
        let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0";
        let mode = ("sec-fetch-mode", "navigate");
        let hints = ("sec-ch-ua", "\"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\"");
        let others = ("sec-ch-ua", "\"Chromium\";v=\"99\"");
        consistency(chrome, &[mode, hints], Transport::Tls, 3);
        consistency(chrome, &[mode], Transport::Tls, 2);
        consistency(chrome, &[hints], Transport::Tls, 1);
        consistency(chrome, &[], Transport::Tls, 1);
        consistency(chrome, &[mode, others], Transport::Tls, 0);
        consistency(chrome, &[], Transport::Plain, 3);
        consistency(chrome, &[], Transport::Unknown, 2);
        consistency(firefox, &[mode], Transport::Tls, 3);
        consistency(firefox, &[], Transport::Tls, 1);
        consistency(firefox, &[mode, hints], Transport::Tls, 0);
        consistency("curl/8.5.0", &[], Transport::Tls, 3);
        consistency("curl/8.5.0", &[mode], Transport::Tls, 1);
        consistency("", &[mode], Transport::Tls, 0);
    }
}
