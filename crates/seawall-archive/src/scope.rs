//! Which URLs belong to the site and are worth fetching.
//!
//! Separate because a site of 500 posts can link to a million URLs: calendars without an end, every order
//! of every list, a session in each link. A crawl that follows those never gets to the posts. What is refused is
//! told by its reason, so that an operator sees what is missing and why. It does **not** remember URLs: judge only
//! those that are not known yet, or what is known is counted twice.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use seawall_model::WallTime;

use crate::keep::leads_to_login;
use crate::links::LinkKind;

/// What an operator says of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRules {
    /// Its names in lower case, without a port; `*.example.org` stands for every name below that one.
    pub hosts: Vec<String>,
    /// Paths that are not wanted, with their queries: `*` stands for any characters, as in `/shop/*`. One without a
    /// `*` at its end is the whole path.
    pub exclude: Vec<String>,
    /// Links from a seed. Sites that people can use are less deep.
    pub max_depth: u8,
    /// Different queries of one path with one parameter. With two parameters a quarter, with three a
    /// twentieth, with more a hundredth: those are filters and orders of lists.
    pub max_queries: u32,
    /// Paths that differ in numbers alone (`/node/1`). Of those that are dates and nothing else a tenth.
    pub max_numbered: u32,
    /// URLs that readers asked for and nothing links to.
    pub max_unlinked: u32,
}

impl Default for ScopeRules {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            exclude: Vec::new(),
            max_depth: 32,
            max_queries: 10_000,
            max_numbered: 50_000,
            max_unlinked: 2_000,
        }
    }
}

/// How a URL came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The site links to it, so many links from a seed.
    Link {
        /// Links from a seed.
        depth: u8,
    },
    /// A reader asked for it and got a page. Who that is nobody knows: one with a query is not taken, for
    /// they can be made up without an end.
    Reader,
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Fetch it when its turn comes.
    Take,
    /// Leave it.
    Refuse(Refusal),
}

/// Why a URL is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Not in its normal form, or of another host.
    OtherSite,
    /// The operator excluded it.
    Excluded,
    /// A place to sign in or out, or behind it.
    Login,
    /// It does something: a basket, a form to reply, an edit, a preview.
    Action,
    /// An interface for programs.
    Interface,
    /// It carries a session, a nonce or who sent the reader.
    Session,
    /// The same in another order.
    Order,
    /// Too far from a seed, or too many segments.
    TooDeep,
    /// Its path repeats itself: a relative link on a page that answers everywhere.
    Repeats,
    /// More parameters than a page has.
    TooManyParameters,
    /// More queries of one path than there may be.
    TooManyQueries,
    /// More numbers of one kind than there may be.
    TooManyNumbers,
    /// A date that nobody wrote about.
    Calendar,
    /// A reader's, that nothing links to, and there are enough of them.
    Unlinked,
}

impl Refusal {
    /// A word for lists and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherSite => "other_site",
            Self::Excluded => "excluded",
            Self::Login => "login",
            Self::Action => "action",
            Self::Interface => "interface",
            Self::Session => "session",
            Self::Order => "order",
            Self::TooDeep => "too_deep",
            Self::Repeats => "repeats",
            Self::TooManyParameters => "too_many_parameters",
            Self::TooManyQueries => "too_many_queries",
            Self::TooManyNumbers => "too_many_numbers",
            Self::Calendar => "calendar",
            Self::Unlinked => "unlinked",
        }
    }
}

/// The judge of one site. It counts what it took, in at most `MAX_COUNTS` counts (24 bytes each, with
/// room to grow into).
#[derive(Debug)]
pub struct Scope {
    rules: ScopeRules,
    /// By a keyed hash of what is counted: a path with the names of its parameters, or a path without its
    /// numbers. Two that share a hash share a count.
    counts: HashMap<u64, u32>,
    seed: RandomState,
    unlinked: u32,
}

/// When as many kinds are counted, a URL of yet another kind is refused as if there were too many of it.
const MAX_COUNTS: usize = 65_536;

impl Scope {
    /// A judge that has taken nothing yet. After a restart, judge what is known again.
    pub fn new(rules: ScopeRules) -> Self {
        Self { rules, counts: HashMap::new(), seed: RandomState::new(), unlinked: 0 }
    }

    /// Judges a URL in its normal form ([`crate::normal_url`]). What is taken counts. `now` says which
    /// dates lie ahead. O(bytes of the URL and of the excluded paths).
    pub fn judge(&mut self, url: &str, found: FoundBy, now: WallTime) -> Verdict {
        match self.refusal(url, found, now) {
            Some(refusal) => Verdict::Refuse(refusal),
            None => Verdict::Take,
        }
    }

    /// Whether a URL is of the site at all.
    pub fn is_of_site(&self, url: &str) -> bool {
        parts(url).is_some_and(|(host, _)| self.names(host))
    }

    /// Why a URL is left whatever else there is, if it is: what of [`Self::judge`] counts nothing. For
    /// those that are known.
    pub fn refuses(&self, url: &str, now: WallTime) -> Option<Refusal> {
        let Some((host, target)) = parts(url) else { return Some(Refusal::OtherSite) };
        if !self.names(host) {
            return Some(Refusal::OtherSite);
        }
        if self.rules.exclude.iter().any(|pattern| matches_pattern(pattern, target)) {
            return Some(Refusal::Excluded);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        refusal_of_path(path).or_else(|| refusal_of_query(query)).or_else(|| trap(path, now))
    }

    fn refusal(&mut self, url: &str, found: FoundBy, now: WallTime) -> Option<Refusal> {
        let of_place = self.refuses(url, now);
        if of_place.is_some() {
            return of_place;
        }
        let (_, target) = parts(url)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match found {
            FoundBy::Link { depth } if depth > self.rules.max_depth => {
                return Some(Refusal::TooDeep);
            }
            FoundBy::Link { .. } => {}
            FoundBy::Reader if !query.is_empty() => return Some(Refusal::Unlinked),
            // Nothing links to it, and whoever has it was meant to.
            FoundBy::Reader if path.split('/').any(is_token) => return Some(Refusal::Session),
            FoundBy::Reader if self.unlinked >= self.rules.max_unlinked => {
                return Some(Refusal::Unlinked);
            }
            FoundBy::Reader => self.unlinked += 1,
        }
        // Pictures are often numbered and lie in folders by date; they end with the pages that show them.
        let numbers =
            (LinkKind::of_url(url) != LinkKind::Resource).then(|| without_numbers(path)).flatten();
        if let Some((template, share)) = numbers
            && !self.count(("path", template.as_str()), self.rules.max_numbered / share)
        {
            return Some(Refusal::TooManyNumbers);
        }
        if query.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = parameters(query).map(|(name, _)| name).collect();
        names.sort_unstable();
        let share = match names.len() {
            0 | 1 => 1,
            2 => 4,
            3 => 20,
            _ => 100,
        };
        let taken =
            self.count((path, names.join("&").as_str()), self.rules.max_queries.div_ceil(share));
        (!taken).then_some(Refusal::TooManyQueries)
    }

    fn names(&self, host: &str) -> bool {
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        self.rules.hosts.iter().any(|known| match known.strip_prefix('*') {
            Some(end) => end.starts_with('.') && host.len() > end.len() && host.ends_with(end),
            None => known == host,
        })
    }

    /// Counts one more, if there are fewer than `max`.
    fn count(&mut self, of: (&str, &str), max: u32) -> bool {
        let key = self.seed.hash_one(of);
        let is_full = self.counts.len() >= MAX_COUNTS;
        match self.counts.get_mut(&key) {
            Some(count) if *count < max => *count += 1,
            None if max > 0 && !is_full => {
                self.counts.insert(key, 1);
            }
            _ => return false,
        }
        true
    }
}

/// Host and target of a normal URL.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let at = rest.find('/')?;
    Some(rest.split_at(at))
}

/// Names and values of a query. Archive systems of old separate with `;`.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// `*` stands for any characters. Without recursion: on a mismatch the last star takes one more.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Names of folders and files that systems give to what is no page.
fn refusal_of_path(path: &str) -> Option<Refusal> {
    if leads_to_login(path) {
        return Some(Refusal::Login);
    }
    let lower = path.to_ascii_lowercase();
    if lower.contains(";jsessionid=") || lower.contains(";phpsessid=") {
        return Some(Refusal::Session);
    }
    lower.split('/').find_map(|segment| match segment {
        "wp-admin" | "administrator" | "my-account" | "wp-signup.php" | "wp-activate.php" => {
            Some(Refusal::Login)
        }
        "cart" | "checkout" | "basket" | "add-to-cart" | "trackback" | "wp-comments-post.php" => {
            Some(Refusal::Action)
        }
        "wp-json" | "xmlrpc.php" | "wp-cron.php" | "wp-trackback.php" | "graphql" | "cdn-cgi" => {
            Some(Refusal::Interface)
        }
        _ => None,
    })
}

fn refusal_of_query(query: &str) -> Option<Refusal> {
    if parameters(query).count() > MAX_PARAMETERS {
        return Some(Refusal::TooManyParameters);
    }
    parameters(query).find_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "replytocom" | "add-to-cart" | "add_to_cart" | "remove_item" | "like_comment"
            | "share" | "preview" | "preview_id" | "diff" | "oldid" | "returnto"
            | "unsubscribe" => Some(Refusal::Action),
            "action" | "do" | "task" | "op" if is_act(value) => Some(Refusal::Action),
            "phpsessid" | "jsessionid" | "aspsessionid" | "sessionid" | "session_id"
            | "session" | "oscsid" | "zenid" | "cfid" | "cftoken" | "_wpnonce" | "nonce"
            | "csrf" | "csrf_token" | "fbclid" | "gclid" | "msclkid" | "mc_cid" | "mc_eid"
            | "doing_wp_cron" => Some(Refusal::Session),
            // A number is a section or a story.
            "sid" | "s_id" | "token" if is_secret(value) => Some(Refusal::Session),
            _ if name.starts_with("utm_") => Some(Refusal::Session),
            "redirect_to" | "loggedout" | "reauth" => Some(Refusal::Login),
            "orderby" | "sort" | "sortby" | "sort_by" | "order" | "order_by" | "sortorder" => {
                Some(Refusal::Order)
            }
            // The listings of Apache: `?C=N;O=D`.
            "c" if matches!(value, "N" | "M" | "S" | "D") => Some(Refusal::Order),
            _ => None,
        }
    })
}

/// More than any page that people link to has.
const MAX_PARAMETERS: usize = 8;

fn is_act(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "edit"
            | "submit"
            | "delete"
            | "remove"
            | "history"
            | "login"
            | "logout"
            | "register"
            | "lostpassword"
            | "add"
            | "add_to_cart"
            | "reply"
            | "vote"
            | "print"
            | "raw"
            | "info"
            | "revisions"
            | "diff"
    )
}

/// Long, and made of what sessions are made of.
fn is_secret(value: &str) -> bool {
    value.len() >= 16
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a segment looks like what nobody can guess: letters and digits mixed without words between, such
/// as a share link has. Names of files may end in what they are.
fn is_token(segment: &str) -> bool {
    let name = segment.rsplit_once('.').map_or(segment, |(name, _)| name);
    let bytes = name.as_bytes();
    let is_made_of =
        |is: fn(u8) -> bool| bytes.iter().all(|&byte| is(byte) || matches!(byte, b'-' | b'_'));
    if bytes.len() < 16 || !is_made_of(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let has_both = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    if !has(|byte| matches!(byte, b'-' | b'_')) && has_both {
        return true;
    }
    if bytes.len() < 24 {
        return false;
    }
    // With `-` and `_`, base64 for URLs changes between cases and digits all the time; words do not.
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    let changes = bytes.windows(2).filter(|pair| match (class(pair[0]), class(pair[1])) {
        (3, _) | (_, 3) => false,
        (before, after) => before != after,
    });
    let is_hex = has_both && is_made_of(|byte| byte.is_ascii_hexdigit());
    is_hex || changes.count() * 4 >= bytes.len()
}

/// What has no end by its shape alone.
fn trap(path: &str, now: WallTime) -> Option<Refusal> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.len() > MAX_SEGMENTS {
        return Some(Refusal::TooDeep);
    }
    if repeats(&segments) {
        return Some(Refusal::Repeats);
    }
    // Days of a year are near enough.
    let year_now = 1_970 + now.unix_secs() / 31_556_952;
    let years = segments
        .iter()
        .enumerate()
        .filter_map(|(at, segment)| year_of(segment, segments.get(at + 1)));
    let mut strange = years.filter(|&year| year < FIRST_YEAR || year > year_now + 1);
    strange.next().map(|_| Refusal::Calendar)
}

/// Deeper paths are made by programs.
const MAX_SEGMENTS: usize = 24;

/// Before the web; what is about earlier times has it in its name and not as a folder of months.
const FIRST_YEAR: u64 = 1_990;

/// Whether a run of segments stands three times in a row, such as `/a/b/a/b/a/b` or `/a/a/a`. Numbers may:
/// `/2011/11/11/11`.
fn repeats(segments: &[&str]) -> bool {
    (1..=segments.len() / 3).any(|length| {
        segments.windows(3 * length).any(|run| {
            let (first, rest) = run.split_at(length);
            let (second, third) = rest.split_at(length);
            let is_word =
                first.iter().any(|segment| segment.bytes().any(|byte| byte.is_ascii_alphabetic()));
            is_word && first == second && second == third
        })
    })
}

/// The year of `2031-05`, `2031-05-01`, or of `2031` before `05`.
fn year_of(segment: &str, next: Option<&&str>) -> Option<u64> {
    let is_number = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (year, rest) = segment.split_at_checked(4)?;
    let is_month = |text: &str| is_number(text, 2) && ("01"..="12").contains(&text);
    let dated = match rest.as_bytes().first() {
        None => next.is_some_and(|next| is_month(next)),
        Some(b'-') => is_month(rest.get(1..3)?) && matches!(rest.len(), 3 | 6),
        Some(_) => false,
    };
    (is_number(year, 4) && dated).then(|| year.parse().ok()).flatten()
}

/// The path with `#` for each number, if its last segment is a number or a date; and of what share of the numbered
/// paths there may be as many: all, or of dates a tenth.
fn without_numbers(path: &str) -> Option<(String, u32)> {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_number =
        !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !is_number || !last.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut out = String::with_capacity(path.len());
    for found in path.chars() {
        if !found.is_ascii_digit() {
            out.push(found);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    let is_date = out.contains("#-#") || out.contains("/#/#");
    Some((out, if is_date { 10 } else { 1 }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_model::WallTime;

    use super::{FoundBy, MAX_COUNTS, Refusal, Scope, ScopeRules, Verdict, matches_pattern};

    const NOW: WallTime = WallTime::from_unix_secs(1_795_348_800); // 2026
    const LINK: FoundBy = FoundBy::Link { depth: 1 };

    fn scope() -> Scope {
        Scope::new(ScopeRules {
            hosts: vec!["example.org".to_owned(), "*.example.org".to_owned()],
            exclude: vec!["/private/*".to_owned(), "/one".to_owned(), "*.iso".to_owned()],
            ..ScopeRules::default()
        })
    }

    #[track_caller]
    fn check(target: &str, want: Option<Refusal>) {
        let url = format!("https://example.org{target}");
        let want = want.map_or(Verdict::Take, Verdict::Refuse);
        assert_eq!(scope().judge(&url, LINK, NOW), want, "{target}");
    }

    #[test]
    fn pages_of_the_site_are_taken() {
        for target in [
            "/",
            "/2026/11/22/a-post/",
            "/2026/11/22/",
            "/2027/01/",
            "/2011/11/11/11",
            "/1848/a-revolution/",
            "/?p=123",
            "/index.php?page_id=7&lang=be",
            "/viewtopic.php?f=2&t=99&start=20",
            "/forum?sid=12",
            "/story?sid=4711",
            "/style.css?ver=6.5.1",
            "/wp-includes/js/x.js",
            "/wp-content/uploads/2026/11/a.jpg",
            "/onelist",
            "/a/b/a/b/",
            "/page/2/",
            "/category/login-tips/",
            "/list?C=Berlin",
            "/doc?action=view",
        ] {
            check(target, None);
        }
    }

    #[test]
    fn what_is_no_page_for_readers_is_left_and_told() {
        for (target, want) in [
            ("/private/x", Refusal::Excluded),
            ("/one", Refusal::Excluded),
            ("/a/b.iso", Refusal::Excluded),
            ("/wp-login.php", Refusal::Login),
            ("/wp-admin/edit.php", Refusal::Login),
            ("/user/login", Refusal::Login),
            ("/?redirect_to=%2F", Refusal::Login),
            ("/a-post/?replytocom=7", Refusal::Action),
            ("/shop/?add-to-cart=7", Refusal::Action),
            ("/index.php?title=X&action=edit", Refusal::Action),
            ("/cart/", Refusal::Action),
            ("/wp-json/wp/v2/posts", Refusal::Interface),
            ("/xmlrpc.php?rsd", Refusal::Interface),
            ("/a;jsessionid=AB12", Refusal::Session),
            ("/a?PHPSESSID=ab12", Refusal::Session),
            ("/a?sid=0123456789abcdef0123", Refusal::Session),
            ("/a?utm_source=x", Refusal::Session),
            ("/a?b=1&_wpnonce=x", Refusal::Session),
            ("/list?orderby=date", Refusal::Order),
            ("/files/?C=N;O=D", Refusal::Order),
            ("/a/a/a", Refusal::Repeats),
            ("/x/a/b/a/b/a/b/c", Refusal::Repeats),
            ("/?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1", Refusal::TooManyParameters),
            ("/events/2031-05/", Refusal::Calendar),
            ("/events/2031-05-01", Refusal::Calendar),
            ("/calendar/1970/01/", Refusal::Calendar),
            ("/calendar/9999/12/31/", Refusal::Calendar),
        ] {
            check(target, Some(want));
        }
        check(&"/a1/b2/c3".repeat(9), Some(Refusal::TooDeep));
        let deep = scope().judge("https://example.org/", FoundBy::Link { depth: 33 }, NOW);
        assert_eq!(deep, Verdict::Refuse(Refusal::TooDeep));
    }

    #[test]
    fn only_hosts_of_the_site_are_of_the_site() {
        for (url, want) in [
            ("https://example.org/", true),
            ("http://example.org:8080/x", true),
            ("https://media.example.org/x", true),
            ("https://example.net/", false),
            ("https://badexample.org/", false),
            ("https://.example.org.evil.example/", false),
            ("https://example.org", false),
            ("ftp://example.org/", false),
            ("/x", false),
            ("", false),
        ] {
            assert_eq!(scope().is_of_site(url), want, "{url}");
        }
    }

    #[test]
    fn what_has_no_end_is_followed_for_a_while_only() {
        let mut scope = scope();
        let mut taken = |url: &dyn Fn(u32) -> String, count: u32| {
            (0..count).filter(|&n| scope.judge(&url(n), LINK, NOW) == Verdict::Take).count()
        };
        assert_eq!(taken(&|n| format!("https://example.org/?p={n}"), 20_000), 10_000);
        assert_eq!(taken(&|n| format!("https://example.org/shop?color={n}&size=1"), 9_000), 2_500);
        assert_eq!(taken(&|n| format!("https://example.org/shop?size={n}&color=1"), 9_000), 0);
        assert_eq!(taken(&|n| format!("https://example.org/shop?a={n}&b&c&d"), 9_000), 100);
        assert_eq!(taken(&|n| format!("https://example.org/node/{n}"), 60_000), 50_000);
        assert_eq!(taken(&|n| format!("https://example.org/day/2020-01-{n}"), 9_000), 5_000);
        assert_eq!(taken(&|n| format!("https://example.org/i/2020/{n}.jpg"), 60_000), 60_000);
    }

    #[test]
    fn made_up_urls_of_readers_neither_fill_the_archive_nor_keep_out_what_is_linked() {
        let mut scope = scope();
        let mut ask = |url: String, found| scope.judge(&url, found, NOW) == Verdict::Take;
        let taken = (0..9_000)
            .filter(|n| ask(format!("https://example.org/x{n}"), FoundBy::Reader))
            .count();
        assert_eq!(taken, 2_000);
        assert!((0..20_000).all(|n| !ask(format!("https://example.org/?p={n}"), FoundBy::Reader)));
        assert!(
            ask("https://example.org/y".to_owned(), LINK)
                && ask("https://example.org/?p=1".to_owned(), LINK)
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_not_taken_from_readers() {
        for (target, want) in [
            ("/share/a8f3kq92mz71xw0p", false),
            ("/d/3f2504e0-4f89-11d3-9a0c-0305e82c3301/view", false),
            ("/s/dQw4w9-WgXcQ_x7Ya2PbKm3R", false),
            ("/reset/AbCdEfGhIjKlMnOpQrStUvWx", false),
            ("/p/a8f3kq92mz71xw0p.pdf", false),
            ("/2026/what-is-known-of-covid19-in-2026/", true),
            ("/The-Long-Title-Of-An-Article-About-2026", true),
            ("/donaudampfschifffahrtsgesellschaft", true),
            ("/20261122143000123", true),
            ("/%D0%BD%D0%BE%D0%B2%D0%B8%D0%BD%D0%B8", true),
        ] {
            let url = format!("https://example.org{target}");
            let is_taken = |found| scope().judge(&url, found, NOW) == Verdict::Take;
            assert_eq!(is_taken(FoundBy::Reader), want, "{target}");
            assert!(is_taken(LINK), "{target}");
        }
    }

    #[test]
    fn the_table_of_counts_is_bounded_and_pages_without_queries_pass_when_it_is_full() {
        let mut scope = scope();
        let mut take = |url: String| scope.judge(&url, LINK, NOW) == Verdict::Take;
        let taken =
            (0..MAX_COUNTS + 5_000).filter(|n| take(format!("https://example.org/p{n}?x"))).count();
        // Two paths that share a hash share a count.
        assert!((MAX_COUNTS..MAX_COUNTS + 3).contains(&taken), "{taken}");
        assert!(take("https://example.org/page".to_owned()));
        assert!(take("https://example.org/p1?x=2".to_owned()));
        assert_eq!(scope.counts.len(), MAX_COUNTS);
    }

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, text, want) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a*", "/ab?c", true),
            ("*", "", true),
            ("*b*d", "/abcd", true),
            ("*b*d", "/abcde", false),
            ("/a*b*c", "/aXbYbZc", true),
            ("", "/", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), want, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_judged(url in ".{0,80}", near in "https://example.org(/[a-z0-9;=-]{0,6}){0,9}\\?([a-z]{1,4}=[0-9a-f]{0,20}[&;]){0,10}") {
            let mut scope = scope();
            for found in [LINK, FoundBy::Reader] {
                prop_assert!(scope.judge(&url, found, NOW) != Verdict::Take || scope.is_of_site(&url));
                let _ = scope.judge(&near, found, NOW);
            }
        }

        #[test]
        fn a_pattern_matches_what_it_was_made_of(parts in prop::collection::vec("[ab]{0,3}", 1..5)) {
            let star = parts.join("*");
            prop_assert!(matches_pattern(&star, &parts.concat()));
            let filled = parts.join("xx");
            prop_assert!(matches_pattern(&star, &filled));
        }
    }
}
