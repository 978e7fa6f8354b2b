//! `seawall mitigate emergency`: reading only.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::length;
use crate::Done;
use crate::admin::ask;
use crate::cli::ChangeArgs;
use crate::config::value;
use crate::{output, target};

/// What `mitigate emergency` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Forms are answered that nothing was sent, so that nobody loses what was typed\n\
    without knowing. It ends with `off`, after `--for`, and when Seawall is started again."
)]
pub(super) struct Args {
    /// Whether it is to be in force.
    #[arg(value_enum)]
    on: OnOff,
    /// For how long, such as 2h; without it until it is turned off.
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Duration>,
    #[command(flatten)]
    how: ChangeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnOff {
    On,
    Off,
}

/// Changes what the running program does.
///
/// # Errors
/// A failure if the program cannot be asked.
pub(super) fn run(config: Option<&Path>, args: &Args) -> Done {
    let Args { on, length, how: ChangeArgs { dry_run, json, target } } = args;
    let socket = target::find(config, target)?.socket;
    let status = ask(&socket, "GET", "/status")?;
    let was_on = status.get("emergency").and_then(Value::as_bool).unwrap_or(false);
    let is_on = *on == OnOff::On;
    if !dry_run {
        let query = match (on, length) {
            (OnOff::Off, _) => "on=0".to_owned(),
            (OnOff::On, None) => "on=1".to_owned(),
            (OnOff::On, Some(length)) => format!("on=1&for_s={}", length.as_secs()),
        };
        ask(&socket, "POST", &format!("/emergency?{query}"))?;
    }
    // What readers will get while it is in force.
    let archives = ask(&socket, "GET", "/archive")?;
    let sum = |name: &str| {
        let sites = archives.as_array().into_iter().flatten();
        sites.filter_map(|site| site.get(name)?.as_u64()).sum::<u64>()
    };
    let (held, known) = (sum("pages_held"), sum("pages_known"));
    if *json {
        return output::json(&json!({
            "emergency": is_on, "was": was_on, "dry_run": dry_run,
            "for_s": length.map(|length| length.as_secs()),
            "pages_known": known, "pages_held": held
        }));
    }
    output::data(&told(is_on, was_on, *length, *dry_run))?;
    if is_on {
        output::say(&format!(
            "The archive holds {held} of {known} known URLs; what is in neither cache nor archive is refused with SW-307."
        ));
    }
    Ok(())
}

fn told(is_on: bool, was_on: bool, length: Option<Duration>, dry_run: bool) -> String {
    let until = match length {
        Some(length) => format!("for {}", value::write_duration(length)),
        None => "until `seawall mitigate emergency off`".to_owned(),
    };
    let again = if is_on == was_on { ", as it was" } else { "" };
    let would = if dry_run { "would be " } else { "" };
    match is_on {
        true => format!("reading only {would}on {until}{again}"),
        false => format!("reading only {would}off{again}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::told;

    #[test]
    fn what_was_done_is_said_in_a_line() {
        let two = Some(Duration::from_secs(7_200));
        assert_eq!(told(true, false, two, false), "reading only on for 2h");
        assert_eq!(
            told(true, true, None, true),
            "reading only would be on until `seawall mitigate emergency off`, as it was"
        );
        assert_eq!(told(false, true, None, false), "reading only off");
    }
}
