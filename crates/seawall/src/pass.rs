//! `seawall pass`: a link that makes the browser which opens it count as signed in.

use std::path::Path;

use serde_json::Value;

use crate::Done;
use crate::admin::ask;
use crate::cli::PassArgs;
use crate::output::{self, Failure, say};
use crate::target;

/// Asks the running program for a link and prints it, once for each name that the sites have.
///
/// # Errors
/// A failure if the program cannot be asked, or no name is known to put into the link.
pub(crate) fn run(config: Option<&Path>, args: &PassArgs) -> Done {
    let target = target::find(config, &args.target)?;
    let answer = ask(&target.socket, "POST", &format!("/pass?days={}", args.days))?;
    let links = links(&answer, args.host.as_deref());
    if links.is_empty() {
        return Err(Failure::failed(
            "the sites are configured for any host, so the link lacks a name",
            "say where the site is edited: `seawall pass --host www.example.org`",
        ));
    }
    if args.json {
        return output::json(&serde_json::json!({ "links": links, "days": args.days }));
    }
    let hours = answer.get("open_hours").and_then(Value::as_u64).unwrap_or(0);
    output::data(&links.join("\n"))?;
    if links.len() > 1 {
        say("Use the one with the name under which the site is edited.");
    }
    say(&format!(
        "Open it within {hours} hours in the browser that needs the pass, which then lasts {} days. \
         Whoever has the link has the pass: send it as you would a password, and one to each person.",
        args.days
    ));
    Ok(())
}

fn links(answer: &Value, host: Option<&str>) -> Vec<String> {
    let path = answer.get("path").and_then(Value::as_str).unwrap_or_default();
    let hosts = answer.get("hosts").and_then(Value::as_array);
    let names: Vec<&str> = match host {
        Some(host) => vec![host],
        None => hosts.into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let named = names.into_iter().filter(|name| !name.contains('*'));
    named.map(|name| format!("https://{name}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::links;

    #[test]
    fn there_is_a_link_for_each_name_or_for_the_one_asked_for() {
        let answer = json!({
            "path": "/.seawall/pass/x", "hosts": ["example.org", "*.example.org", "www.example.org"]
        });
        assert_eq!(
            links(&answer, None),
            ["https://example.org/.seawall/pass/x", "https://www.example.org/.seawall/pass/x"]
        );
        assert_eq!(links(&answer, Some("a.b:8443")), ["https://a.b:8443/.seawall/pass/x"]);
        assert!(links(&json!({ "path": "/x", "hosts": ["*"] }), None).is_empty());
    }
}
