//! `seawall purge`: drops pages from the cache of the running program.

use std::path::Path;

use serde_json::Value;

use crate::Done;
use crate::admin::{ask, percent_encode};
use crate::cli::PurgeArgs;
use crate::output::{self, Failure};
use crate::target;

/// Asks the running program to drop one page, the pages of a tag, or all.
///
/// # Errors
/// A usage failure for what is no URL; a failure if the program cannot be asked.
pub(crate) fn run(config: Option<&Path>, args: &PurgeArgs) -> Done {
    let (query, what) = match (&args.url, &args.tag) {
        (Some(url), _) => {
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                return Err(Failure::usage(
                    format!("`{url}` is not the address of a page"),
                    format!(
                        "write it as in a browser, such as `https://example.org/{}`",
                        url.trim_start_matches('/')
                    ),
                ));
            }
            (format!("url={}", percent_encode(url)), format!("`{url}`"))
        }
        (None, Some(tag)) => (format!("tag={}", percent_encode(tag)), format!("tag `{tag}`")),
        (None, None) => ("all=1".to_owned(), "everything".to_owned()),
    };
    let target = target::find(config, &args.target)?;
    let answer = ask(&target.socket, "POST", &format!("/purge?{query}"))?;
    if args.json {
        return output::json(&answer);
    }
    match answer.get("removed").and_then(Value::as_u64) {
        Some(0) => output::data(&format!("nothing was held of {what}")),
        Some(1) => output::data(&format!("dropped {what}: 1 entry")),
        Some(count) => output::data(&format!("dropped {what}: {count} entries")),
        None => output::data(&format!("dropped {what}")),
    }
}
