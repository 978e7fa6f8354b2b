//! The mitigations behind an answer: what they mean, on what they rest, and what to type if they are
//! wrong.
//!
//! Only a running program knows them. Where none runs, the explanation does without.

use std::path::Path;

use seawall_model::Cause;
use serde_json::Value;

use crate::admin::{ask, is_running};
use crate::cli::ExplainArgs;
use crate::mitigate::words;
use crate::target;

/// What stands now, if `cause` is about that and a program runs.
pub(super) fn standing(config: Option<&Path>, args: &ExplainArgs, cause: Cause) -> Option<Value> {
    if rungs(cause).is_empty() {
        return None;
    }
    of_running(&target::find(config, &args.target).ok()?.socket)
}

fn of_running(socket: &Path) -> Option<Value> {
    is_running(socket).then(|| ask(socket, "GET", "/mitigations").ok())?
}

/// The rungs that give a cause. Who cannot follow a test waits behind others, and who never passes one is
/// refused, so that for those two it may be one of two.
const fn rungs(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::Demoted => &["demote", "challenge"],
        Cause::Challenged => &["challenge"],
        Cause::Unsolved => &["challenge", "block"],
        Cause::SignatureBlock => &["block"],
        _ => &[],
    }
}

/// Those that stand on a rung that gives `cause`.
pub(super) fn measures(cause: Cause, standing: &Value) -> impl Iterator<Item = &Value> {
    let rungs = rungs(cause);
    let all = standing.get("measures").and_then(Value::as_array).into_iter().flatten();
    all.filter(move |measure| {
        measure.get("rung").and_then(Value::as_str).is_some_and(|rung| rungs.contains(&rung))
    })
}

/// The same in words.
pub(super) fn of_cause(cause: Cause, standing: &Value) -> String {
    let texts: Vec<String> = measures(cause, standing).map(words::measure).collect();
    if texts.is_empty() {
        return "\n\nNow no mitigation stands that gives this.".to_owned();
    }
    format!("\n\nWhat stands now:\n{}", texts.join(""))
}

/// The mitigation that a request met.
pub(super) struct Met {
    id: u64,
    /// What is known of it; `None` if nobody knows it any more.
    measure: Option<Value>,
}

/// The mitigation that the request of a line met, if one.
pub(super) fn met(socket: &Path, line: &Value) -> Option<Met> {
    let id = line.get("security_rule.uuid")?.as_str()?.parse().ok()?;
    let measure = of_running(socket).and_then(|standing| of_line(&standing, line, id).cloned());
    Some(Met { id, measure })
}

/// The one with number `id` of what stands, if it is that of a line.
fn of_line<'a>(standing: &'a Value, line: &Value, id: u64) -> Option<&'a Value> {
    // Numbers begin anew with each start: a line of another run means another one.
    let request = line.get("seawall.request.id")?.as_str()?;
    if !request.starts_with(standing.get("run")?.as_str()?) {
        return None;
    }
    let all = standing.get("measures")?.as_array()?;
    all.iter().find(|it| it.get("id").and_then(Value::as_u64) == Some(id))
}

impl Met {
    pub(super) const fn measure(&self) -> Option<&Value> {
        self.measure.as_ref()
    }

    pub(super) fn text(&self) -> String {
        match &self.measure {
            Some(measure) => format!("\n\nThe mitigation it met:\n{}", words::measure(measure)),
            None => format!(
                "\n\nIt met mitigation #{}, which is not known any more: it was forgotten, or the program was restarted.",
                self.id
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_on_the_rung_of_a_code_is_named_with_the_remedy() {
        let measure = |id: u32, rung: &str| json!({"id": id, "rung": rung, "signature": "x"});
        let standing = json!({"measures": [measure(7, "block"), measure(8, "demote"),
            measure(9, "challenge"), measure(10, "dormant")]});
        for (cause, want) in [
            (Cause::SignatureBlock, &[7][..]),
            (Cause::Challenged, &[9]),
            (Cause::Unsolved, &[7, 9]),
            (Cause::Demoted, &[8, 9]),
            (Cause::OriginBusy, &[]),
        ] {
            let ids: Vec<u64> =
                measures(cause, &standing).filter_map(|it| it["id"].as_u64()).collect();
            assert_eq!(ids, want, "{cause:?}");
        }
        let text = of_cause(Cause::SignatureBlock, &standing);
        assert!(text.contains("`seawall mitigate veto 7 --for 2h`"), "{text}");
        assert!(of_cause(Cause::SignatureBlock, &json!({})).contains("no mitigation stands"));
    }

    #[test]
    fn a_mitigation_that_nobody_knows_is_named_by_its_number() {
        let nobody = Path::new("/nonexistent/admin.sock");
        let met = met(nobody, &json!({"security_rule.uuid": "7"})).expect("it met one");
        assert!(met.text().contains("#7") && met.measure().is_none(), "{}", met.text());
        assert!(super::met(nobody, &json!({})).is_none());
    }

    #[test]
    fn a_number_means_a_mitigation_of_the_run_that_the_request_was_in() {
        let standing = json!({"run": "0abc00000001", "measures": [{"id": 7}]});
        let of =
            |request: &str, id| of_line(&standing, &json!({"seawall.request.id": request}), id);
        assert!(of("0abc000000010000-1", 7).is_some(), "also in the first second");
        assert!(of("0abc000000010000-1", 8).is_none(), "another number");
        assert!(of("0abc000000020000-1", 7).is_none(), "of an earlier run");
    }
}
