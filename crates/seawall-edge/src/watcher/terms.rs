//! From the words of an operator to the value of an attribute.
//!
//! Two ways. What recent traffic was in words is known, and the operator may say it as `mitigate list`
//! does. What can be made from text is made: an example request with that path, that user agent or that address
//! goes through the one place where values are made, and counts only if its words are the
//! operator's. It deliberately does **not** guess: what fits nothing, or several, is refused with what comes near.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use seawall_decide::{Attributer, NetworkClass};
use seawall_detect::Detector;
use seawall_model::{
    Attribute, AttributeValue, ClientAddr, CookieClass, Country, Facts, Fields, HttpVersion,
    Identity, Ja4, Method, Standing, UNKNOWN,
};

use crate::admin::{OrderRefusal, ValueShare, flag_of};

/// What an operator means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) value: AttributeValue,
    /// Its words.
    pub(super) words: String,
}

/// The value that `text` stands for.
///
/// # Errors
/// It stands for none, or for several; with what comes near.
pub(super) fn value(
    attributer: &Attributer,
    detector: &Detector,
    attribute: Attribute,
    text: &str,
) -> Result<Meant, OrderRefusal> {
    let forms = forms(attribute, text);
    let mut found: Vec<(AttributeValue, &str)> = Vec::new();
    for (of, value, words) in detector.words().iter() {
        let is_meant = of == attribute && is_one_of(&forms, words);
        if is_meant && !found.iter().any(|(known, _)| *known == value) {
            found.push((value, words));
        }
    }
    match found[..] {
        [(value, words)] => return Ok(Meant { value, words: words.to_owned() }),
        [] => {}
        _ => return Err(ambiguous(attribute, text, found.len())),
    }
    let made = examples(attribute, text).into_iter().find_map(|example| {
        let (facts, network) = (example.facts(), example.network);
        let value = attributer.of(&facts, &example, network).value(attribute);
        let words = attributer.words(attribute, &facts, &example, network);
        let is_it = value != UNKNOWN && (example.is_itself || is_one_of(&forms, words.as_str()));
        is_it.then(|| Meant { value, words: words.as_str().to_owned() })
    });
    made.ok_or_else(|| unknown(detector, attribute, text))
}

/// The value that is so in words, made again without the traffic that it was seen in; `None` if it cannot be.
pub(super) fn from_words(
    attributer: &Attributer,
    detector: &Detector,
    attribute: Attribute,
    words: &str,
) -> Option<Meant> {
    const NAMES: [&str; 7] =
        ["none", "harmless", "site", "login", "reader", "aged-reader", "signed-in"];
    // What the operator would have to write: the words from some word on, or up to the first, or a name.
    let ends = words.match_indices(' ').map(|(place, _)| &words[place + 1..]);
    let texts = NAMES.into_iter().chain([words]).chain(ends).chain(words.split(' ').take(1));
    texts
        .filter(|text| is_one_of(&forms(attribute, text), words))
        .filter_map(|text| value(attributer, detector, attribute, text).ok())
        .find(|meant| meant.words.eq_ignore_ascii_case(words))
}

/// The most frequent values of the last two seconds.
pub(super) fn recent(detector: &Detector, attribute: Attribute, max: usize) -> Vec<ValueShare> {
    let mut counts: HashMap<AttributeValue, u32> = HashMap::new();
    let mut rows = 0_u32;
    for row in detector.recent() {
        rows += 1;
        *counts.entry(row.attributes.value(attribute)).or_default() += 1;
    }
    counts.remove(&UNKNOWN);
    let words = |value| detector.words().text(attribute, value).map(str::to_owned);
    let mut values: Vec<(u32, String)> =
        counts.into_iter().filter_map(|(value, count)| Some((count, words(value)?))).collect();
    values.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    values.truncate(max);
    let share = |count: u32| super::told::rounded(f64::from(count) / f64::from(rows.max(1)));
    values.into_iter().map(|(count, text)| ValueShare { text, share: share(count) }).collect()
}

/// How `text` may be said in words.
fn forms(attribute: Attribute, text: &str) -> Vec<String> {
    let text = text.trim();
    let is_none = text.eq_ignore_ascii_case("none");
    let mut forms = vec![text.to_owned()];
    let mut or = |form: String| forms.push(form);
    match attribute {
        Attribute::Path => or(format!("path template {text}")),
        Attribute::Ja4 if is_none => or("no TLS".to_owned()),
        Attribute::Ja4 => or(format!("JA4 {text}")),
        Attribute::Http2Preface if is_none => or("no HTTP/2".to_owned()),
        Attribute::Http2Preface => or(format!("HTTP/2 preface {text}")),
        Attribute::FieldOrder => or(format!("field order {text}")),
        Attribute::FieldCount => or(format!("{text} fields")),
        Attribute::UserAgentFamily if is_none => or("no user agent".to_owned()),
        Attribute::UserAgentFamily => {}
        Attribute::UserAgent if is_none => or("user agent not sent".to_owned()),
        Attribute::UserAgent => or(format!("user agent {text}")),
        Attribute::AcceptLanguage if is_none => or("languages not sent".to_owned()),
        Attribute::AcceptLanguage => or(format!("languages {text}")),
        Attribute::Accept => or(format!("accepts {text}")),
        Attribute::Consistency => or(format!("consistency {text} of 3")),
        Attribute::Cookie => or(cookie_words(text).to_owned()),
        Attribute::Method => {}
        Attribute::Query if is_none => or("no query".to_owned()),
        Attribute::Query => or(format!("query keys {text}")),
        Attribute::Network => {
            or(format!("network {text}"));
            or(format!("networks in {text}"));
        }
        Attribute::Prefix => or(format!("addresses {text}")),
    }
    forms
}

fn cookie_words(text: &str) -> &str {
    match text.to_ascii_lowercase().as_str() {
        "none" => "no cookie",
        "harmless" => "harmless cookies",
        "site" => "a cookie of the site",
        "login" => "a login cookie that nobody vouches for",
        "reader" => "a reader's credential",
        "aged-reader" => "an aged reader's credential",
        "signed-in" => "signed in",
        _ => text,
    }
}

fn is_one_of(forms: &[String], words: &str) -> bool {
    forms.iter().any(|form| form.eq_ignore_ascii_case(words))
}

/// A request that may have the wanted value.
struct Example {
    path: String,
    query: Option<String>,
    fields: Vec<(&'static str, String)>,
    client: ClientAddr,
    network: NetworkClass,
    version: HttpVersion,
    method: Method,
    cookies: CookieClass,
    standing: Standing,
    is_holder: bool,
    field_count: usize,
    ja4: Option<Ja4>,
    /// It is what the operator wrote, in whatever words: nothing to compare.
    is_itself: bool,
}

impl Default for Example {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            query: None,
            fields: Vec::new(),
            client: ClientAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            network: NetworkClass::default(),
            version: HttpVersion::Http11,
            method: Method::Get,
            cookies: CookieClass::None,
            standing: Standing::Anonymous,
            is_holder: false,
            field_count: 0,
            ja4: None,
            is_itself: false,
        }
    }
}

impl Example {
    fn facts(&self) -> Facts<'_> {
        let mut facts = seawall_decide::reading(self.client, self.path.as_bytes());
        facts.query = self.query.as_deref().map(str::as_bytes);
        facts.version = self.version;
        facts.method = self.method;
        facts.cookies = self.cookies;
        facts.standing = self.standing;
        facts.field_count = self.field_count;
        facts.fingerprint.ja4 = self.ja4;
        if self.is_holder {
            facts.identity = Identity::of_holder(1);
        }
        facts
    }

    /// With one field, as the operator wrote it.
    fn of_field(name: &'static str, text: &str) -> Self {
        Self { fields: vec![(name, text.to_owned())], is_itself: true, ..Self::default() }
    }
}

impl Fields for Example {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.fields.iter().filter(|(known, _)| *known == name) {
            visit(value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(known, _)| *known == name);
        field.map(|(_, value)| value.as_bytes())
    }
}

/// Requests that may have the value that is meant by `text`.
fn examples(attribute: Attribute, text: &str) -> Vec<Example> {
    let text = text.trim();
    let is_none = text.eq_ignore_ascii_case("none");
    match attribute {
        // Of a template only numbers can be put back.
        Attribute::Path if text.starts_with('/') => {
            let path = text.replace("{n}", "1");
            let is_itself = !path.contains('{');
            vec![Example { path, is_itself, ..Example::default() }]
        }
        Attribute::UserAgentFamily if is_none => vec![Example::default()],
        Attribute::UserAgentFamily => families(text),
        Attribute::UserAgent if !is_none => vec![Example::of_field("user-agent", text)],
        Attribute::AcceptLanguage if !is_none => vec![Example::of_field("accept-language", text)],
        Attribute::Query if text.starts_with('?') && text.len() > 1 => {
            vec![Example {
                query: Some(text[1..].to_owned()),
                is_itself: true,
                ..Example::default()
            }]
        }
        Attribute::Prefix => addresses(text),
        Attribute::Network => networks(text),
        Attribute::Ja4 if !is_none => {
            let ja4 = <[u8; 36]>::try_from(text.as_bytes()).ok().map(Ja4::new);
            ja4.map(|ja4| Example { ja4: Some(ja4), is_itself: true, ..Example::default() })
                .into_iter()
                .collect()
        }
        Attribute::FieldCount => {
            (0..64).map(|field_count| Example { field_count, ..Example::default() }).collect()
        }
        Attribute::Method => methods(),
        Attribute::Cookie => cookies(),
        // What is absent has words of its own; of the others only traffic knows.
        _ => vec![Example::default()],
    }
}

/// How user agents of a family and version look.
fn families(text: &str) -> Vec<Example> {
    let (name, version) = match text.rsplit_once(' ') {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, version)
        }
        _ => (text, "0"),
    };
    let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/";
    let agents = [
        format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        ),
        format!("{chrome}{version}.0.0.0 Safari/537.36"),
        format!("{chrome}{version}.0.0.0 Safari/537.36 Edg/{version}.0.0.0"),
        format!("{chrome}{version}.0.0.0 Safari/537.36 OPR/{version}.0.0.0"),
        format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/{version}.0 Chrome/115.0.0.0 Mobile Safari/537.36"
        ),
        format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version}.0 Safari/605.1.15"
        ),
        format!("{name}/{version}.0"),
        name.to_owned(),
        format!("Mozilla/5.0 (compatible; {name}/{version}.0)"),
        format!("Mozilla/5.0 (compatible; {name})"),
    ];
    let of = |agent| Example { fields: vec![("user-agent", agent)], ..Example::default() };
    agents.into_iter().map(of).collect()
}

fn methods() -> Vec<Example> {
    let with =
        |method| HttpVersion::ALL.map(|version| Example { method, version, ..Example::default() });
    Method::ALL.into_iter().flat_map(with).collect()
}

fn cookies() -> Vec<Example> {
    let field = || vec![("cookie", "a=b".to_owned())];
    vec![
        Example::default(),
        Example { fields: field(), ..Example::default() },
        Example { fields: field(), cookies: CookieClass::Foreign, ..Example::default() },
        Example { fields: field(), cookies: CookieClass::Personal, ..Example::default() },
        Example { fields: field(), is_holder: true, ..Example::default() },
        Example { fields: field(), standing: Standing::AgedReader, ..Example::default() },
        Example { fields: field(), standing: Standing::SignedIn, ..Example::default() },
    ]
}

/// An address, or a /24 or /48: that is what the attribute tells apart.
fn addresses(text: &str) -> Vec<Example> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits)),
        None => (text, None),
    };
    let ip: Option<IpAddr> = ip.parse().ok();
    let is_whole =
        |ip: &IpAddr| bits.is_none_or(|bits| bits == if ip.is_ipv4() { "24" } else { "48" });
    let of = |ip| Example { client: ClientAddr::new(ip), is_itself: true, ..Example::default() };
    ip.filter(is_whole).map(of).into_iter().collect()
}

/// `AS64500`, `AS64500 in DE`, `DE`, `Tor`.
fn networks(text: &str) -> Vec<Example> {
    let asn = |text: &str| {
        let (mark, number) = text.split_at_checked(2)?;
        number.parse::<u32>().ok().filter(|_| mark.eq_ignore_ascii_case("as"))
    };
    let (owner, place) = match text.split_once(" in ") {
        Some((owner, place)) => (asn(owner), Country::new(place)),
        None => (asn(text), Country::new(text)),
    };
    let network =
        NetworkClass { asn: owner, country: place, is_tor: text.eq_ignore_ascii_case("tor") };
    vec![Example { network, ..Example::default() }]
}

fn ambiguous(attribute: Attribute, text: &str, count: usize) -> OrderRefusal {
    OrderRefusal::new(
        422,
        format!(
            "`--{} {text}` stands for {count} different values of recent traffic",
            flag_of(attribute)
        ),
        "say something else about them as well, or name the value that `seawall mitigate values` shows in full",
    )
}

fn unknown(detector: &Detector, attribute: Attribute, text: &str) -> OrderRefusal {
    let flag = flag_of(attribute);
    let lower = text.to_ascii_lowercase();
    let mut near: Vec<String> =
        recent(detector, attribute, usize::MAX).into_iter().map(|value| value.text).collect();
    let mut known: Vec<String> = detector
        .words()
        .iter()
        .filter(|(of, ..)| *of == attribute)
        .map(|(.., words)| words.to_owned())
        .collect();
    known.sort();
    near.extend(known);
    // Stable: those with the text in them first, then by how often they come.
    near.sort_by_key(|words| !words.to_ascii_lowercase().contains(&lower));
    let mut seen = std::collections::HashSet::new();
    near.retain(|words| seen.insert(words.clone()));
    near.truncate(MAX_NEAR);
    let hint = if near.is_empty() {
        "no request was sampled yet that tells of it; `seawall mitigate values` shows what is known"
            .to_owned()
    } else {
        format!("recent traffic has `{}`; `seawall mitigate values` shows all", near.join("`, `"))
    };
    OrderRefusal::new(422, format!("nothing is known by `--{flag} {text}`"), hint)
}

const MAX_NEAR: usize = 6;

#[cfg(test)]
mod tests {
    use seawall_detect::DetectorConfig;

    use super::*;

    const SEED: [u64; 2] = [1, 2];

    /// The value by words alone, before there was any traffic.
    fn made(attribute: Attribute, text: &str) -> Result<AttributeValue, OrderRefusal> {
        let detector = Detector::new(DetectorConfig::default(), SEED);
        value(&Attributer::new(SEED), &detector, attribute, text).map(|meant| meant.value)
    }

    /// The value that a request like `example` has.
    fn real(attribute: Attribute, example: &Example) -> AttributeValue {
        Attributer::new(SEED).of(&example.facts(), example, example.network).value(attribute)
    }

    #[test]
    fn a_value_made_from_text_is_that_of_requests_like_it() {
        use Attribute::{AcceptLanguage, Cookie, Network, Path, Prefix, Query, UserAgent};
        let path = Example { path: "/search".to_owned(), ..Example::default() };
        assert_eq!(made(Path, "/search"), Ok(real(Path, &path)));
        let article = Example { path: "/2026/11/a-story/".to_owned(), ..Example::default() };
        assert_eq!(made(Path, "/2025/09/a-story/"), Ok(real(Path, &article)));
        let agent = "python-requests/2.32.3";
        let program = Example::of_field("user-agent", agent);
        assert_eq!(made(UserAgent, agent), Ok(real(UserAgent, &program)));
        let family = Attribute::UserAgentFamily;
        assert_eq!(made(family, "python-requests 2"), Ok(real(family, &program)));
        let french = Example::of_field("accept-language", "fr");
        assert_eq!(made(AcceptLanguage, "fr"), Ok(real(AcceptLanguage, &french)));
        assert_eq!(made(Cookie, "none"), Ok(real(Cookie, &Example::default())));
        assert_eq!(made(Query, "none"), Ok(real(Query, &Example::default())));
        let query = Example { query: Some("q=peace".to_owned()), ..Example::default() };
        assert_eq!(made(Query, "?q=word"), Ok(real(Query, &query)));
        let from = |ip: &str| Example {
            client: ClientAddr::new(ip.parse().expect("an address")),
            ..Example::default()
        };
        assert_eq!(made(Prefix, "192.0.2.0/24"), Ok(real(Prefix, &from("192.0.2.9"))));
        assert_eq!(made(Prefix, "2001:db8:1::/48"), Ok(real(Prefix, &from("2001:db8:1::7"))));
        for method in Method::ALL {
            let asked = Example { method, version: HttpVersion::Http2, ..Example::default() };
            let name = if method == Method::Extension { "other method" } else { method.as_str() };
            let words = format!("{name} over HTTP/2");
            assert_eq!(made(Attribute::Method, &words), Ok(real(Attribute::Method, &asked)));
        }
        let network =
            NetworkClass { asn: Some(64_500), country: Country::new("DE"), is_tor: false };
        let german = Example { network, ..Example::default() };
        assert_eq!(made(Network, "AS64500 in DE"), Ok(real(Network, &german)));
    }

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";

    #[test]
    fn what_was_made_is_made_again_from_its_words() {
        let attributer = Attributer::new(SEED);
        let detector = Detector::new(DetectorConfig::default(), SEED);
        for (attribute, text) in [
            (Attribute::Path, "/search"),
            (Attribute::UserAgent, "python-requests/2.32.3"),
            (Attribute::UserAgentFamily, "python-requests 2"),
            (Attribute::AcceptLanguage, "fr"),
            (Attribute::Cookie, "none"),
            (Attribute::Query, "none"),
            (Attribute::Prefix, "192.0.2.0/24"),
            (Attribute::Network, "AS64500 in DE"),
        ] {
            let meant = value(&attributer, &detector, attribute, text).expect(text);
            let again = from_words(&attributer, &detector, attribute, &meant.words);
            assert_eq!(again, Some(meant), "{text}");
        }
        // Neither is a fingerprint, nor the kind of value that a key of a query has.
        for (attribute, words) in
            [(Attribute::Ja4, "JA4 t13d"), (Attribute::Query, "query keys q (word)")]
        {
            assert_eq!(from_words(&attributer, &detector, attribute, words), None, "{words}");
        }
    }

    #[test]
    fn browsers_are_made_by_name_and_version() {
        for (name, agent) in [
            ("Firefox 128", "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0"),
            ("chrome 142", CHROME),
            ("Safari 26", SAFARI),
        ] {
            let family = Attribute::UserAgentFamily;
            let want = real(family, &Example::of_field("user-agent", agent));
            assert_eq!(made(family, name), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_made_and_was_not_seen_is_refused() {
        for (attribute, text) in [
            (Attribute::Path, "search"),
            (Attribute::Path, "/{random}/"),
            (Attribute::Ja4, "t13d"),
            (Attribute::FieldOrder, "0c0ffee0"),
            (Attribute::Accept, "everything"),
            (Attribute::Network, "unknown network"),
            (Attribute::Prefix, "192.0.2.0/16"),
            (Attribute::Method, "GET"),
            (Attribute::Consistency, "7"),
            (Attribute::Cookie, "chocolate"),
        ] {
            let refused = made(attribute, text).expect_err(text);
            assert_eq!(refused.status, 422, "{refused}");
            assert!(refused.what.contains(text), "{refused}");
        }
    }
}
