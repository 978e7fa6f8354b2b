//! Learns from the origin's own responses who is logged in, and remembers it over restarts.
//!
//! A login cookie counts once the origin set it in answer to a POST, or to somebody who was logged
//! in already (frameworks renew sessions so). Which cookies are login cookies the site says
//! (`site.login_cookies`). Single sign-on that ends in a GET is not seen as a login: its people take
//! a pass (`seawall pass`).
//!
//! The file holds keyed hashes, and is void under another key or when a byte of it is missing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use parking_lot::Mutex;
use seawall_cache::parse_http_date;
use seawall_decide::{LoginHash, LoginKey, Logins, MAX_LOGIN};
use seawall_model::{Fields, Method, WallTime};

use crate::config::Site;
use crate::state_file::{self, write_whole};

/// Longer values are no login cookies: browsers keep 4 KiB of name, value and attributes.
const MAX_VALUE_BYTES: usize = 4096;
/// Shorter ones could be guessed: what takes the cookie away is often set to a space.
const MIN_VALUE_BYTES: usize = 16;
/// Login cookies looked at in one request.
const MAX_COOKIES: usize = 4;

/// The logins of all sites and their file.
pub(crate) struct KnownLogins {
    path: PathBuf,
    table: Mutex<Logins>,
    is_changed: AtomicBool,
}

impl KnownLogins {
    /// Reads what was kept in `dir`, if it is whole.
    ///
    /// # Errors
    /// What the system says to reading the file, if it is there.
    pub(crate) fn open(dir: &Path, key: &LoginKey, max: usize, now: WallTime) -> io::Result<Self> {
        let path = dir.join("logins");
        let kept = state_file::read(&path)?;
        let read = kept.as_deref().and_then(|bytes| Logins::from_bytes(bytes, key, max, now));
        if kept.is_some() && read.is_none() {
            tracing::warn!(
                file = %path.display(),
                "the file of logins is damaged or of another key: who is logged in counts as \
                 anonymous until the next login"
            );
        }
        let table = Mutex::new(read.unwrap_or_else(|| Logins::new(max)));
        Ok(Self { path, table, is_changed: AtomicBool::new(false) })
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// How many were forgotten to make room for others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.table.lock().forgotten()
    }

    /// The login that this request carries, if the origin gave it out.
    pub(super) fn of(
        &self,
        key: &LoginKey,
        site: &Site,
        fields: &dyn Fields,
        now: WallTime,
    ) -> Option<LoginHash> {
        let (mut found, mut looked) = (None, 0);
        fields.each("cookie", &mut |line| {
            each_login(site, line, &mut |name, value| {
                looked += 1;
                if found.is_none() && looked <= MAX_COOKIES {
                    let hash = key.hash(site.name().as_bytes(), name, value);
                    found = self.table.lock().is_known(now, hash).then_some(hash);
                }
            });
        });
        found
    }

    /// Notes what the origin's response says about who is logged in.
    pub(crate) fn learn(
        &self,
        key: &LoginKey,
        site: &Site,
        (method, request): (Method, &HeaderMap),
        (status, response): (u16, &HeaderMap),
        now: WallTime,
    ) {
        if status >= 400 || !response.contains_key(SET_COOKIE) {
            return;
        }
        for line in response.get_all(SET_COOKIE) {
            let Some(cookie) = SetCookie::parse(line.as_bytes(), now) else { continue };
            if !site.login_cookies.matches(cookie.name) {
                continue;
            }
            if cookie.value.is_empty() || cookie.lifetime.is_zero() {
                self.forget(key, site, cookie.name, request);
                continue;
            }
            let is_login = method == Method::Post || {
                let fields = seawall_cache::MapFields(request);
                self.of(key, site, &fields, now).is_some()
            };
            let can_be = (MIN_VALUE_BYTES..=MAX_VALUE_BYTES).contains(&cookie.value.len());
            if can_be && is_login {
                let hash = key.hash(site.name().as_bytes(), cookie.name, cookie.value);
                self.table.lock().remember(now, hash, cookie.lifetime);
                self.is_changed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The origin took the cookie away from whoever sent this request.
    fn forget(&self, key: &LoginKey, site: &Site, gone: &[u8], request: &HeaderMap) {
        for line in request.get_all(COOKIE) {
            each_login(site, line.as_bytes(), &mut |name, value| {
                let hash = key.hash(site.name().as_bytes(), name, value);
                if name == gone && self.table.lock().forget(hash) {
                    self.is_changed.store(true, Ordering::Relaxed);
                }
            });
        }
    }

    /// Writes the file if anything changed. Touches the disk.
    pub(crate) fn keep(&self, key: &LoginKey) {
        if !self.is_changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let bytes = self.table.lock().to_bytes(key);
        if let Err(error) = write_whole(&self.path, &bytes) {
            self.is_changed.store(true, Ordering::Relaxed);
            tracing::warn!(file = %self.path.display(), "logins could not be written: {error}");
        }
    }
}

/// Calls `visit` with name and value of each login cookie of a Cookie line.
fn each_login(site: &Site, line: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) {
    for pair in line.split(|&byte| byte == b';') {
        let Some(end) = pair.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = (pair[..end].trim_ascii(), pair[end + 1..].trim_ascii());
        let is_login = value.len() <= MAX_VALUE_BYTES && site.login_cookies.matches(name);
        if is_login {
            visit(name, value);
        }
    }
}

/// What matters of a Set-Cookie line (RFC 6265 §5.2).
struct SetCookie<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Zero: it is taken away.
    lifetime: Duration,
}

impl<'a> SetCookie<'a> {
    fn parse(line: &'a [u8], now: WallTime) -> Option<Self> {
        let mut parts = line.split(|&byte| byte == b';');
        let pair = parts.next()?;
        let end = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (pair[..end].trim_ascii(), pair[end + 1..].trim_ascii());
        let (mut max_age, mut expires) = (None, None);
        for part in parts {
            let end = part.iter().position(|&byte| byte == b'=').unwrap_or(part.len());
            let attribute = part[..end].trim_ascii();
            let value = part.get(end + 1..).unwrap_or_default().trim_ascii();
            if attribute.eq_ignore_ascii_case(b"max-age") {
                max_age = seconds(value).or(max_age);
            } else if attribute.eq_ignore_ascii_case(b"expires") {
                // Nobody knows for how long a date counts that cannot be read.
                expires = Some(date(value, now)?);
            }
        }
        // RFC 6265 §5.3: Max-Age counts before Expires.
        let lifetime = max_age
            .or_else(|| expires.map(|until| until.saturating_since(now)))
            .unwrap_or(MAX_LOGIN);
        Some(Self { name, value, lifetime })
    }
}

/// RFC 6265 §5.1.1 takes more than HTTP does; PHP before 8.2 writes `21-Nov-2026`.
fn date(value: &[u8], now: WallTime) -> Option<WallTime> {
    parse_http_date(value, now).or_else(|| {
        let spaced: Vec<u8> =
            value.iter().map(|&byte| if byte == b'-' { b' ' } else { byte }).collect();
        parse_http_date(&spaced, now)
    })
}

/// RFC 6265 §5.2.2: digits, with a minus in front perhaps, which means "gone".
fn seconds(value: &[u8]) -> Option<Duration> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() < value.len() {
        return Some(Duration::ZERO);
    }
    let text = std::str::from_utf8(digits).ok()?;
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use http::header::HeaderValue;
    use seawall_cache::MapFields;

    use super::*;
    use crate::config::{Origin, OriginTarget};

    fn at(secs: u64) -> WallTime {
        WallTime::from_unix_secs(1_795_321_200 + secs)
    }

    fn site() -> Site {
        let target = OriginTarget::Unix("/run/origin.sock".into());
        Site::new(vec!["example.org".to_owned()], Origin::at(target))
    }

    fn map(name: http::HeaderName, lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(&name, HeaderValue::from_str(line).expect("a legal value"));
        }
        map
    }

    struct Case {
        logins: KnownLogins,
        key: LoginKey,
        dir: tempfile::TempDir,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("temporary folder");
            let key = LoginKey::new(&[1; 32]);
            let logins = KnownLogins::open(dir.path(), &key, 8, at(0)).expect("an empty folder");
            Self { logins, key, dir }
        }

        fn learn(&self, method: Method, cookie: &str, status: u16, set: &str) {
            let request = map(COOKIE, &[cookie]);
            let response = map(SET_COOKIE, &[set]);
            let (asked, said) = ((method, &request), (status, &response));
            self.logins.learn(&self.key, &site(), asked, said, at(0));
        }

        fn knows(&self, cookie: &str, secs: u64) -> bool {
            let request = map(COOKIE, &[cookie]);
            self.logins.of(&self.key, &site(), &MapFields(&request), at(secs)).is_some()
        }
    }

    const COOKIE_A: &str = "wordpress_logged_in_x=editor%7C1795500000%7Ctoken";

    #[test]
    fn only_what_the_origin_set_on_a_login_counts() {
        for (method, status, set, want) in [
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; path=/; HttpOnly",
                true,
            ),
            (Method::Post, 200, "wordpress_logged_in_x = editor%7C1795500000%7Ctoken ", true),
            (Method::Post, 302, "wordpress_logged_in_x=b", false),
            (Method::Post, 302, "wordpress_logged_in_y=editor%7C1795500000%7Ctoken", false),
            (Method::Post, 403, "wordpress_logged_in_x=editor%7C1795500000%7Ctoken", false),
            (Method::Post, 500, "wordpress_logged_in_x=editor%7C1795500000%7Ctoken", false),
            (Method::Get, 200, "wordpress_logged_in_x=editor%7C1795500000%7Ctoken", false),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; Max-Age=0",
                false,
            ),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; Max-Age=-5",
                false,
            ),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; expires=Thu, 01 Jan 1970 00:00:00 GMT",
                false,
            ),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; expires=Thu, 01-Jan-1970 00:00:01 GMT",
                false,
            ),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; expires=Fri, 27-Nov-2026 00:00:01 GMT",
                true,
            ),
            (
                Method::Post,
                302,
                "wordpress_logged_in_x=editor%7C1795500000%7Ctoken; expires=some day",
                false,
            ),
            (Method::Post, 302, "comment_author_x=editor%7C1795500000%7Ctoken", false),
            (Method::Post, 302, "wordpress_logged_in_x", false),
            (Method::Post, 302, "", false),
        ] {
            let case = Case::new();
            case.learn(method, "a=b", status, set);
            assert_eq!(case.knows(COOKIE_A, 0), want, "{method:?} {status} {set}");
        }
    }

    #[test]
    fn whoever_is_logged_in_may_get_a_new_cookie_anywhere_and_log_out() {
        let case = Case::new();
        case.learn(Method::Post, "", 302, COOKIE_A);
        let next = "wordpress_logged_in_x=editor%7C1795600000%7Cnext";
        case.learn(Method::Get, COOKIE_A, 200, next);
        assert!(case.knows(next, 0));
        case.learn(Method::Get, next, 302, "wordpress_logged_in_x=%20; Max-Age=0");
        assert!(!case.knows(next, 0));
        assert!(case.knows(COOKIE_A, 0), "another browser's");
        // What takes a cookie away is nobody's login, whatever its date says.
        case.learn(Method::Get, COOKIE_A, 302, "wordpress_logged_in_x=%20");
        assert!(!case.knows("wordpress_logged_in_x=%20", 0));
    }

    #[test]
    fn it_ends_when_the_origin_said() {
        let case = Case::new();
        let set = format!("{COOKIE_A}; Expires=Thu, 01 Jan 2099 00:00:00 GMT; max-age=60");
        case.learn(Method::Post, "", 302, &set);
        assert!(case.knows(COOKIE_A, 59));
        assert!(!case.knows(COOKIE_A, 60));
    }

    #[test]
    fn a_crowd_of_cookies_is_looked_at_only_so_far() {
        let case = Case::new();
        case.learn(Method::Post, "", 302, COOKIE_A);
        let forged = "wordpress_logged_in_x=no; ".repeat(MAX_COOKIES);
        assert!(!case.knows(&format!("{forged}{COOKIE_A}"), 0));
        assert!(case.knows(&format!("a=b; {COOKIE_A}; {forged}"), 0));
        let long = format!("wordpress_logged_in_x={}", "a".repeat(32 * 1024));
        assert!(!case.knows(&long, 0));
    }

    #[test]
    fn it_is_known_after_a_restart_unless_the_file_is_damaged() {
        let case = Case::new();
        case.learn(Method::Post, "", 302, COOKIE_A);
        case.logins.keep(&case.key);
        let open = || KnownLogins::open(case.dir.path(), &case.key, 8, at(0)).expect("readable");
        assert_eq!(open().len(), 1);
        let file = case.dir.path().join("logins");
        let bytes = fs::read(&file).expect("it is there");
        assert!(!bytes.windows(3).any(|three| three == b"edi"), "no cookie stands in the file");
        fs::write(&file, &bytes[1..]).expect("a file");
        assert_eq!(open().len(), 0);
    }
}
