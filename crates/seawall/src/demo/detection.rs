//! What the shield notices of the flood by itself, asked as an operator would ask (`seawall status`).

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use seawall_detect::percent_up;
use seawall_edge::admin::query;
use serde_json::{Value, json};

use crate::figures::grouped;

/// What was noticed and done, in seconds of the flood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Detected {
    /// When it was first said that this is not ordinary.
    pub(crate) noticed_s: Option<f64>,
    /// What it was taken for last.
    pub(crate) verdict: String,
    /// What was done, and to what.
    pub(crate) measures: Vec<Measure>,
    /// Clients that were known as ordinary.
    pub(crate) baseline_clients: u64,
    /// Whether some of those were generated.
    pub(crate) is_generated: bool,
    /// Whether something else was out of the ordinary when the flood began, and still is.
    is_alarmed_by_other: bool,
    /// Whether it was when the flood began.
    was_alarmed_before: bool,
    /// Measures that there were before: name, requests met, refused.
    before: Vec<(u64, u64, u64)>,
}

/// One signature and what was done to what it means.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measure {
    id: u64,
    /// In words.
    pub(crate) signature: String,
    /// When it came to each rung.
    pub(crate) demoted_s: Option<f64>,
    pub(crate) tested_s: Option<f64>,
    pub(crate) blocked_s: Option<f64>,
    /// Requests that it met, and refused.
    pub(crate) matched: u64,
    pub(crate) blocked: u64,
    /// Upper bound of the part of ordinary clients that it means.
    pub(crate) collateral_upper: f64,
}

impl Detected {
    /// Takes in what `status` said before the flood: an alarm that stands already tells nothing of it.
    pub(crate) fn before(&mut self, status: &Value) {
        self.is_alarmed_by_other = is_alarmed(status);
        self.was_alarmed_before = self.is_alarmed_by_other;
        let of = |said: &Value| {
            Some((said["id"].as_u64()?, count(said, "matched"), count(said, "blocked")))
        };
        self.before =
            status["mitigations"].as_array().into_iter().flatten().filter_map(of).collect();
    }

    /// Takes in what `status` said `at_s` after the begin of the flood. What is new in it, in words.
    pub(crate) fn take(&mut self, at_s: f64, status: &Value) -> Vec<String> {
        let mut news = Vec::new();
        let state = status["state"].as_str().unwrap_or_default();
        self.baseline_clients = status["baseline_clients"].as_u64().unwrap_or(0);
        self.is_generated = status["baseline_is_generated"] == true;
        self.is_alarmed_by_other &= is_alarmed(status) && !self.has_new_measure(status);
        if is_alarmed(status) && !self.is_alarmed_by_other {
            if self.noticed_s.is_none() {
                self.noticed_s = Some(at_s);
                news.push(format!(
                    "{at_s:.1} s into the flood Seawall notices that this is not ordinary"
                ));
            }
            if self.verdict != state {
                state.clone_into(&mut self.verdict);
                news.push(format!("{at_s:.1} s: {}", taken_for(state)));
            }
        }
        for measure in status["mitigations"].as_array().into_iter().flatten() {
            news.extend(self.measure(at_s, measure));
        }
        news
    }

    /// Whether something is done about what was not there before the flood.
    fn has_new_measure(&self, status: &Value) -> bool {
        let is_new = |said: &Value| {
            said["rung"] != "dormant" && self.before.iter().all(|(id, ..)| said["id"] != *id)
        };
        status["mitigations"].as_array().is_some_and(|all| all.iter().any(is_new))
    }

    fn measure(&mut self, at_s: f64, said: &Value) -> Option<String> {
        let id = said["id"].as_u64()?;
        let signature = said["signature"].as_str()?;
        let before = self.before.iter().find(|(known, ..)| *known == id);
        let &(_, met_before, refused_before) = before.unwrap_or(&(id, 0, 0));
        if before.is_some() && count(said, "matched") == met_before {
            return None;
        }
        let known = self.measures.iter().position(|measure| measure.id == id);
        let place = known.unwrap_or_else(|| {
            self.measures.push(Measure { id, ..Measure::default() });
            self.measures.len() - 1
        });
        let measure = &mut self.measures[place];
        signature.clone_into(&mut measure.signature);
        measure.matched = count(said, "matched").saturating_sub(met_before);
        measure.blocked = count(said, "blocked").saturating_sub(refused_before);
        measure.collateral_upper = said["collateral_upper"].as_f64().unwrap_or(1.0);
        let (when, what) = match said["rung"].as_str()? {
            "demote" => (&mut measure.demoted_s, "has to wait behind readers"),
            "challenge" => (&mut measure.tested_s, "has to pass a test"),
            "block" => (&mut measure.blocked_s, "is refused"),
            _ => return None,
        };
        if when.is_some() {
            return None;
        }
        *when = Some(at_s);
        Some(format!("{at_s:.1} s: what matches “{signature}” {what}"))
    }

    /// Signatures that met somebody, the busiest first.
    pub(crate) fn busiest(&self) -> Vec<&Measure> {
        let mut busy: Vec<&Measure> =
            self.measures.iter().filter(|measure| measure.matched > 0).collect();
        busy.sort_by_key(|measure| std::cmp::Reverse(measure.matched));
        busy
    }

    /// For machines: added to the side with Seawall.
    pub(crate) fn add_to(&self, with: &mut Value) {
        let busiest = self.busiest();
        with["detected_after_s"] = json!(self.noticed_s.map(tenths));
        with["alarmed_before"] = json!(self.was_alarmed_before);
        with["verdict"] = json!((!self.verdict.is_empty()).then_some(&self.verdict));
        with["signatures"] = busiest.iter().map(|measure| json!(measure.signature)).collect();
        with["measures"] = busiest.iter().map(|measure| measure.to_json()).collect();
        with["baseline"] =
            json!({ "clients": self.baseline_clients, "generated": self.is_generated });
    }

    /// In one line, while it goes on.
    pub(crate) fn line(&self) -> Option<String> {
        let noticed = self.noticed_s?;
        let first = self.busiest().first().map_or_else(
            || "no signature yet".to_owned(),
            |measure| format!("{} ({})", measure.signature, measure.rung()),
        );
        Some(format!("Noticed after {noticed:.1} s: {}; {first}", self.verdict))
    }

    /// For the end.
    pub(crate) fn story(&self) -> String {
        let Some(noticed) = self.noticed_s else {
            return "Seawall did not notice the flood as such; what protected readers is what always does:\n\
                    the cache, and the origin's gate."
                .to_owned();
        };
        let mut text = format!(
            "Seawall noticed the flood {noticed:.1} s after it began, and {}.",
            took_it_for(&self.verdict)
        );
        if self.was_alarmed_before {
            text.push_str("\nSomething else was out of the ordinary before it; so this is when it said what was new.");
        }
        let busiest = self.busiest();
        if busiest.is_empty() {
            text.push_str(" It found no signature that means\nthe flood and not readers, so it did nothing more than it always does.");
        }
        for measure in busiest.iter().take(MOST_TOLD) {
            text.push_str(&format!(
                "\n  {}\n    {}; {} requests met, {} refused; of ordinary clients at most {} look so",
                measure.signature,
                measure.steps(),
                grouped(measure.matched),
                grouped(measure.blocked),
                percent_up(measure.collateral_upper),
            ));
        }
        let generated = if self.is_generated {
            format!(
                "\nWhat is ordinary it knew from {} generated clients, as if it had stood here for a quarter of an hour.",
                grouped(self.baseline_clients)
            )
        } else {
            String::new()
        };
        text + &generated
    }
}

impl Measure {
    fn rung(&self) -> &'static str {
        match (self.blocked_s, self.tested_s) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "has to pass a test",
            (None, None) => "waits behind readers",
        }
    }

    fn steps(&self) -> String {
        let steps =
            [("demoted", self.demoted_s), ("tested", self.tested_s), ("refused", self.blocked_s)];
        let said: Vec<String> = steps
            .into_iter()
            .filter_map(|(what, when)| Some(format!("{what} after {:.1} s", when?)))
            .collect();
        said.join(", ")
    }

    fn to_json(&self) -> Value {
        json!({
            "signature": self.signature,
            "demoted_after_s": self.demoted_s.map(tenths),
            "challenged_after_s": self.tested_s.map(tenths),
            "blocked_after_s": self.blocked_s.map(tenths),
            "matched": self.matched,
            "blocked": self.blocked,
            "collateral_upper": self.collateral_upper,
        })
    }
}

fn is_alarmed(status: &Value) -> bool {
    ["crowd", "mixed", "attack"].iter().any(|state| status["state"] == *state)
}

fn count(said: &Value, name: &str) -> u64 {
    said[name].as_u64().unwrap_or(0)
}

/// It is asked four times a second.
fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn taken_for(state: &str) -> &'static str {
    match state {
        "attack" => "it takes it for an attack",
        "mixed" => "it cannot tell yet whether it is an attack or a crowd",
        _ => "it takes it for a crowd so far",
    }
}

fn took_it_for(verdict: &str) -> &'static str {
    match verdict {
        "attack" => "took it for an attack",
        "mixed" => "could not tell whether it was an attack or a crowd",
        _ => "took it for a crowd",
    }
}

/// Asks the shield at `socket` four times a second, on a thread that ends when nobody listens.
pub(crate) fn ask(socket: PathBuf) -> Receiver<(Instant, Value)> {
    let (teller, told) = channel();
    thread::spawn(move || {
        loop {
            // While it starts or is too busy to answer there is nothing to tell.
            let answer = query(&socket, "GET", "/status").ok();
            let status = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
            if teller.send((now(), status.unwrap_or(Value::Null))).is_err() {
                return;
            }
            thread::park_timeout(EVERY);
        }
    });
    told
}

#[expect(clippy::disallowed_methods, reason = "the demo is measured in wall seconds of its user")]
fn now() -> Instant {
    Instant::now()
}

const EVERY: Duration = Duration::from_millis(250);
const MOST_TOLD: usize = 4;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Detected;

    fn status(state: &str, rung: &str, matched: u64) -> Value {
        json!({"state": state, "baseline_clients": 3_010, "baseline_is_generated": true,
            "mitigations": [{"id": 4, "signature": "no cookie AND query", "rung": rung,
                "matched": matched, "blocked": 2, "collateral_upper": 0.0004}]})
    }

    #[test]
    fn each_step_is_told_once_with_its_time() {
        let mut detected = Detected::default();
        assert!(detected.take(0.2, &json!({"state": "watch", "mitigations": []})).is_empty());
        let news = detected.take(0.7, &status("attack", "demote", 0));
        assert_eq!(news.len(), 3, "{news:?}");
        assert!(news[2].contains("“no cookie AND query” has to wait"), "{news:?}");
        assert!(detected.take(0.9, &status("attack", "demote", 30)).is_empty());
        assert_eq!(detected.take(2.0, &status("attack", "block", 90)).len(), 1);
        assert!(detected.take(3.0, &status("attack", "dormant", 99)).is_empty());
        let mut with = json!({});
        detected.add_to(&mut with);
        assert_eq!(with["detected_after_s"], 0.7);
        assert_eq!(with["signatures"], json!(["no cookie AND query"]));
        assert_eq!(with["measures"][0]["blocked_after_s"], 2.0);
        assert_eq!(with["measures"][0]["matched"], 99);
        let story = detected.story();
        for part in ["0.7 s after it began", "an attack", "99 requests met", "0.040 %", "generated"]
        {
            assert!(story.contains(part), "{part}: {story}");
        }
    }

    #[test]
    fn an_alarm_that_stood_before_the_flood_is_not_its_discovery() {
        let crawler = json!({"id": 1, "signature": "Searchbot 2", "rung": "demote", "matched": 200,
            "blocked": 0, "collateral_upper": 0.001});
        let mut both = status("attack", "demote", 5);
        both["mitigations"].as_array_mut().expect("a list").push(crawler.clone());
        let only_crawler = json!({"state": "mixed", "mitigations": [crawler]});
        let mut detected = Detected::default();
        detected.before(&only_crawler);
        assert!(detected.take(0.1, &only_crawler).is_empty());
        assert_eq!(detected.noticed_s, None);
        detected.take(0.8, &both);
        assert_eq!(detected.noticed_s, Some(0.8));
        let told: Vec<_> = detected.busiest().iter().map(|it| it.signature.as_str()).collect();
        assert_eq!(told, ["no cookie AND query"], "nothing of the flood was like the crawler");
        assert!(detected.story().contains("Something else"), "{}", detected.story());
        // Once that is over, the next alarm is the flood's, whatever is done.
        let mut detected = Detected::default();
        detected.before(&only_crawler);
        detected.take(0.1, &json!({"state": "recovery", "mitigations": []}));
        detected.take(0.9, &only_crawler);
        assert_eq!(detected.noticed_s, Some(0.9));
    }

    #[test]
    fn a_flood_that_is_not_noticed_is_said_to_be_none() {
        let mut detected = Detected::default();
        assert!(detected.take(1.0, &Value::Null).is_empty());
        let mut with = json!({});
        detected.add_to(&mut with);
        assert_eq!((&with["detected_after_s"], &with["signatures"]), (&Value::Null, &json!([])));
        assert!(detected.story().contains("did not notice"));
        assert_eq!(detected.line(), None);
    }
}
