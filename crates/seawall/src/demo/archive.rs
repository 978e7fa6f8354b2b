//! What the shield's archive holds, asked as an operator would ask.

use std::path::Path;

use seawall_edge::admin::query;
use serde_json::Value;

/// How far the archive of the sample site is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archived {
    /// Addresses of the site that are known.
    pub(crate) known: u64,
    /// Of those, the ones of which there is a copy.
    pub(crate) held: u64,
    /// Of those, the ones to be fetched now.
    pub(crate) due: u64,
}

impl Archived {
    /// Whether there is nothing left to copy.
    pub(crate) fn is_whole(self) -> bool {
        self.held > 0 && self.held >= self.known && self.due == 0
    }

    /// Whether the crawl rests, though something is missing: the origin had no room for it, and it comes
    /// back later.
    pub(crate) fn has_given_up(self) -> bool {
        self.due == 0 && !self.is_whole()
    }

    fn of(answer: &Value) -> Option<Self> {
        let site = answer.get(0)?;
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
        Some(Self {
            known: number(site, "pages_known")?,
            held: number(site, "pages_held")?,
            due: number(site.get("crawl")?, "due")?,
        })
    }
}

/// Asks the shield at `socket`.
///
/// # Errors
/// What it said, or why it said nothing.
pub(crate) fn ask(socket: &Path) -> Result<Archived, String> {
    let answer = exchange(socket, "GET", "/archive")?;
    let parsed = serde_json::from_slice(&answer).ok();
    parsed.as_ref().and_then(Archived::of).ok_or_else(|| "it has no archive".to_owned())
}

/// Tells the shield at `socket` to look at the whole site again now.
///
/// # Errors
/// As [`ask`].
pub(crate) fn crawl(socket: &Path) -> Result<(), String> {
    exchange(socket, "POST", "/archive?crawl=1").map(drop)
}

fn exchange(socket: &Path, method: &str, target: &str) -> Result<Vec<u8>, String> {
    let answer = query(socket, method, target).map_err(|error| error.to_string())?;
    if answer.status == 200 {
        Ok(answer.body)
    } else {
        Err(String::from_utf8_lossy(&answer.body).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Archived;

    #[test]
    fn an_archive_is_whole_when_nothing_is_missing_and_nothing_is_due() {
        for (known, held, due, is_whole, has_given_up) in [
            (400, 400, 0, true, false),
            (400, 399, 0, false, true),
            (400, 399, 1, false, false),
            (400, 400, 1, false, false),
            (0, 0, 0, false, true),
        ] {
            let answer = json!([{"pages_known": known, "pages_held": held, "crawl": {"due": due}}]);
            let archived = Archived::of(&answer).expect("every key is there");
            assert_eq!(archived, Archived { known, held, due });
            assert_eq!(archived.is_whole(), is_whole, "{archived:?}");
            assert_eq!(archived.has_given_up(), has_given_up, "{archived:?}");
        }
        assert_eq!(Archived::of(&json!([])), None);
    }
}
