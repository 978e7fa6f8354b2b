//! `seawall explain`: what a code or a request's outcome means, for an editor at three in the
//! morning.
//!
//! The match over causes is exhaustive, so a new cause does not compile until somebody has
//! explained it. Codes of `check` are explained from the table they come from. It works while Seawall
//! is stopped, and looks into the access log for the request it is asked about; where attacks are the
//! reason, a running program is asked what they look like.

mod behind;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use seawall_model::Cause;
use serde_json::{Value, json};

use crate::Done;
use crate::cli::ExplainArgs;
use crate::config::{self, problem::Code};
use crate::output::{self, Failure};
use crate::target;

/// Explains a code, a cause or one request.
///
/// # Errors
/// A failure if nothing is known by that name.
pub(crate) fn run(file: Option<&Path>, args: &ExplainArgs) -> Done {
    let Some(what) = args.what.as_deref() else {
        return list(args);
    };
    if let Some(cause) = find_cause(what) {
        let standing = behind::standing(file, args, cause);
        return if args.json {
            let mut json = cause_json(cause);
            if let Some(standing) = &standing {
                json["mitigations"] = behind::measures(cause, standing).cloned().collect();
            }
            output::json(&json)
        } else {
            let behind = standing.map(|it| behind::of_cause(cause, &it)).unwrap_or_default();
            output::data(&format!("{}{behind}", cause_text(cause)))
        };
    }
    if let Some(code) = Code::ALL.into_iter().find(|code| code.as_str() == what) {
        return if args.json {
            output::json(&json!({"code": code.as_str(), "what": code.about()}))
        } else {
            output::data(&format!("{}\n\n{}", code.as_str(), code.about()))
        };
    }
    if let Some(about) = config::about_key(what) {
        return if args.json {
            output::json(&json!({"key": what, "what": about}))
        } else {
            output::data(&about)
        };
    }
    if looks_like_code(what) {
        return Err(Failure::failed(
            format!("there is no code `{what}`"),
            "`seawall explain --list` shows all of them",
        ));
    }
    request(file, args, what)
}

/// What a cause means. Three answers to three questions.
struct Meaning {
    /// What happened, and why.
    what: &'static str,
    /// What the reader saw.
    reader: &'static str,
    /// What to do, if anything.
    act: &'static str,
}

fn meaning(cause: Cause) -> Meaning {
    let (what, reader, act) = match cause {
        Cause::Default => (
            "Nothing spoke against the request. It was answered from the cache or by the site.",
            "The page.",
            "Nothing.",
        ),
        Cause::AllowList => (
            "The address stands in `network.allow`, so no limit was applied to it.",
            "The page.",
            "Nothing. If the address should not be there, take it out of `network.allow` and reload.",
        ),
        Cause::DenyList => (
            "The address stands in `network.deny`: somebody decided that it is not served.",
            "A connection that closed at once, or a page with status 403 behind a trusted proxy.",
            "If this was a reader, take the address or its network out of `network.deny` and reload.",
        ),
        Cause::MethodNotAllowed => (
            "The request used a method that the site or this path does not take, such as PUT or POST.",
            "An error with status 405, or 501 for a method nobody knows.",
            "Usually a scanner: nothing. If a form or an app stopped working, add its method to `site.methods` or to the route's `methods`.",
        ),
        Cause::TargetTooLong => (
            "The address of the page was longer than `limits.max_target_bytes`.",
            "An error with status 414.",
            "Usually a scanner: nothing. If a search or a filter of your own makes such addresses, raise the limit.",
        ),
        Cause::HeadTooLarge => (
            "The request's header fields were more or larger than `limits.max_fields` and `limits.max_head_bytes` take. Among readers too many cookies are the usual reason.",
            "An error with status 431, and a closed connection.",
            "Ask the reader to delete this site's cookies. If it happens to many, find what sets so many cookies.",
        ),
        Cause::BodyTooLarge => (
            "An upload was larger than `limits.max_body_bytes` or the route's `max_body_bytes`.",
            "An error with status 413.",
            "If an editor uploads files of this size, raise the limit for that path. The site's own limit (`upload_max_filesize` in PHP) counts as well.",
        ),
        Cause::HeldBudget => (
            "One address asked for stored pages faster than `limits.held_rate` for longer than `limits.held_burst` allows. People do not read that fast; a crawler or a script does, or very many people behind one address where few were known before.",
            "A short page with status 429 that says when to try again.",
            "Usually nothing: it passes by itself. If a school, an office or a CDN is behind the address, add it to `network.allow`, or the CDN to `network.trusted_proxies`.",
        ),
        Cause::RouteBudget => (
            "A `[[site.route]]` has a `budget`, and this address or its network asked for the path more often than that: passwords being guessed, comments being sent by a machine, or many people behind one address.",
            "An error with status 429 that says when to try again. Stored pages were served all the while.",
            "Under attack: nothing. If it happens to editors or readers in quiet times, raise the `budget` of that route; who is logged in or a known reader has a budget of their own.",
        ),
        Cause::PassLink => (
            "The link of a pass (`seawall pass`) was opened over plain HTTP, more than a day after it was made, after the keys in the state folder were lost, or with a part of it missing.",
            "A short page with status 403.",
            "Make a new one with `seawall pass` and open it over https.",
        ),
        Cause::UnknownHost => (
            "The request asked for a host that no `[[site]]` names.",
            "An error with status 421.",
            "If the name is yours, for example with or without `www.`, add it to `site.hosts` and reload. Otherwise nothing.",
        ),
        Cause::RouteSource => (
            "A `[[site.route]]` lets only some addresses reach this path, and this was not one of them.",
            "An error with status 403.",
            "If an editor was kept out, add the editor's network to the route's `allow_sources`, or ask for the VPN to be used.",
        ),
        Cause::Malformed => (
            "The message broke the protocol or could be read in two ways. Such messages are used to smuggle requests past a shield, so none is passed on.",
            "An error with status 400 or a closed connection.",
            "Usually a scanner: nothing. If an old app or device of yours does it, its maker has to mend it.",
        ),
        Cause::ClientTimeout => (
            "The other side was too slow: it began a request and did not finish it, or did not take the answer, within the limits. Attacks hold connections open this way.",
            "A closed connection, sometimes an error with status 408.",
            "Usually nothing. If readers on very slow lines complain, look at `limits.header_timeout` and `limits.min_body_bytes_per_second`.",
        ),
        Cause::TooManyConnections => (
            "All connections were in use (`limits.max_connections`), so new ones were closed at once. Under a flood this protects the readers who are already in.",
            "A connection that closed at once; trying again often works.",
            "Look at `seawall status`. If the machine has memory left, raise the open-file limit (`LimitNOFILE=`); if the line is full, only your provider can help.",
        ),
        Cause::TooManyConnectionsOfOne => (
            "One address had more connections open than `limits.max_connections_of_one`. A browser opens six; this was a machine, or a proxy with very many people behind it.",
            "A connection that closed at once.",
            "Usually nothing. If it is your CDN or load balancer, add it to `network.trusted_proxies`.",
        ),
        Cause::TooManyConnectionsOfPrefix => (
            "One network (a /24, or a /48 of IPv6) had more connections open than `limits.max_connections_of_prefix`, by default a quarter of all there may be. Readers are spread over many networks; floods often are not.",
            "A connection that closed at once.",
            "Under attack: nothing. If it is your CDN or load balancer, add it to `network.trusted_proxies`; if your readers really are in one network, raise the limit.",
        ),
        Cause::RepeatOffender => (
            "This address broke protocols again and again, in ways that no browser does, beyond `limits.max_offences`. It gets no new connections for `limits.bar_time`. Addresses with many known readers behind them may do more before it comes to that.",
            "A connection that closed at once.",
            "Usually nothing: it ends by itself. `seawall status` shows what was done. If a device of yours does it, have it mended, or add its address to `network.allow`.",
        ),
        Cause::ProtocolFlood => (
            "A connection asked for more work by its frames or records than any browser does (resets, PINGs, SETTINGS, header blocks without end and the like), and was closed.",
            "A closed connection. A browser opens another by itself.",
            "Nothing. `seawall status` shows which kind of flood it was.",
        ),
        Cause::DenyFingerprint => (
            "The way this client speaks TLS (its JA4 fingerprint) stands in `network.deny_ja4`: somebody decided that such programs are not served.",
            "A connection that closed before the TLS handshake.",
            "If readers are kept out, a browser shares the fingerprint: take it out of `network.deny_ja4` and reload.",
        ),
        Cause::HandshakeBudget => (
            "TLS handshakes of unknown clients took as much processor time as they may (`limits.handshake_share`). Readers who come back, and networks in which readers are known, have a share of their own.",
            "A connection that closed before the TLS handshake; trying again often works.",
            "Under attack: nothing, this keeps the machine free for who is in. In quiet times: use an ECDSA certificate, which costs a fraction of an RSA one, or raise the limit.",
        ),
        Cause::MemoryPressure => (
            "Nearly all of `memory` was in use, so connections of strangers were closed at once. Readers who were in went on reading.",
            "A connection that closed at once; trying again often works.",
            "Under attack: nothing. If it happens in quiet times, give Seawall more `memory`; `seawall status` shows the pressure.",
        ),
        Cause::OriginBusy => (
            "The page was not stored, and the site behind Seawall had as much work as it can bear. The request waited its turn in vain.",
            "A short page with status 503 that says when to try again. Nothing, if the status was 307: at an address that many share, who looks like an attack is sent around once instead, and comes back with a place in line of its own. Stored pages were served all the while.",
            "Under attack: nothing, this keeps the site alive. In quiet times the site is too slow: look at its own log, its database and its disk.",
        ),
        Cause::OriginBudget => (
            "The site behind Seawall had as much work as it can bear, and this address or its network had already caused more of it than `limits.origin_budget` allows. Others went first.",
            "A short page with status 429 that says when to try again. Nothing, if the status was 307: at an address that many share, who looks like an attack is sent around once instead, and comes back with a place in line of its own. Stored pages were served all the while.",
            "Under attack: nothing. If it happens to many readers behind one address in quiet times, raise `limits.origin_budget`; known readers raise it by themselves.",
        ),
        Cause::MadeUp => (
            "The page was not stored, and many addresses were asked for that the site does not have. This one looked like them: a path like others that were not there, or a query parameter that no page of the site uses.",
            "A short page with status 503 that says when to try again. Stored pages and addresses that had answered before were served all the while.",
            "Under attack: nothing, this keeps made-up addresses away from the site. If pages with a parameter of your own are hit, name it in `site.cache.query_keep`, or in `query_ignore` if it changes nothing.",
        ),
        Cause::OriginFailed => (
            "The page was not stored, and the site behind Seawall did not answer, answered too late, or answered with nonsense.",
            "An error with status 502 or 504. Stored pages were served all the while.",
            "Check that the site runs (`systemctl status nginx php8.2-fpm mariadb`, or what it is made of) and that `site.origin` is its address.",
        ),
        Cause::Demoted => (
            "The request looks like an attack that is going on, so it waited behind all others for the site. Stored pages were served as ever.",
            "The page, later than usual; the site is busy if nobody has time for it.",
            "Usually nothing: it ends by itself when the attack does. `seawall status` says what the attack looks like and how many readers look like it.",
        ),
        Cause::Challenged => (
            "The request looks like an attack that is going on, so its browser had to come back once, with a cookie or after a few seconds, before the site worked for it. Browsers do that by themselves, without script; most attack programs never do.",
            "Nothing at all, or a page that opens the wanted one by itself after a few seconds. Programs get status 429 if the site has no time for them.",
            "Usually nothing: it ends by itself. If a program of yours is kept out, add its address to `network.allow`.",
        ),
        Cause::SignatureBlock => (
            "The request looks like an attack that is going on, and hardly any reader known from before looks like that. Hardly any of its clients passed the cheap test, or they asked for more stored pages than people read; where no test can be put, as with forms, hardly any was recognised and many went on though they were told to wait.",
            "An error with status 429. Stored pages were served as ever.",
            "Usually nothing: it ends by itself within minutes of the attack. If a reader was kept out, `seawall mitigate list` shows which mitigation it may have been, and `seawall mitigate veto ID --for 2h` stops it; who is signed in, or known from before, is never refused for this.",
        ),
        Cause::Unsolved => (
            "This client looks like an attack, and was given 20 tests within a minute that every browser passes by itself. It passed none.",
            "An error with status 429. Stored pages were served as ever.",
            "Nothing: it ends a minute after the client stops. If it is a program of yours, add its address to `network.allow`.",
        ),
        Cause::Emergency => (
            "The operator has declared an emergency: the site is for reading only, from what Seawall holds. This page is not held, or it was an attempt to send something.",
            "A short page with status 503. Every page in the cache and the archive was served all the while, and signed-in editors reached the site.",
            "`seawall mitigate emergency off` ends it. `seawall archive list` shows what is held.",
        ),
        Cause::Draining => (
            "Seawall was stopping or being restarted.",
            "A short page with status 503, or a closed connection; trying again works.",
            "Nothing, if somebody restarted it. Otherwise `journalctl --unit seawall` says who stopped it.",
        ),
        Cause::NoRoom => (
            "There was no room left on disk or in memory to take an upload in safely.",
            "An error with status 503 or 507.",
            "Free space in `state_dir`, or raise `disk`. Reading is not affected.",
        ),
    };
    Meaning { what, reader, act }
}

fn cause_text(cause: Cause) -> String {
    let Meaning { what, reader, act } = meaning(cause);
    format!(
        "{} ({})\n\nWhat happened: {what}\nThe reader saw: {reader}\nWhat to do:     {act}",
        cause.code(),
        cause.as_str()
    )
}

fn cause_json(cause: Cause) -> Value {
    let Meaning { what, reader, act } = meaning(cause);
    json!({"code": cause.code(), "cause": cause.as_str(), "what": what, "reader_saw": reader, "what_to_do": act})
}

fn list(args: &ExplainArgs) -> Done {
    if args.json {
        return output::json(&Cause::ALL.into_iter().map(cause_json).collect());
    }
    let line = |cause: Cause| format!("{}  {}\n", cause.code(), cause.as_str());
    let causes: String = Cause::ALL.into_iter().map(line).collect();
    let codes: String = Code::ALL.into_iter().map(|code| format!("{}\n", code.as_str())).collect();
    output::data(&format!("{causes}\n{codes}"))
}

/// A cause by its code or its label, in whatever case it was read over the telephone.
fn find_cause(what: &str) -> Option<Cause> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' ', '_'], "");
    let what = plain(what.trim());
    Cause::ALL
        .into_iter()
        .find(|cause| plain(cause.code()) == what || plain(cause.as_str()) == what)
}

fn looks_like_code(what: &str) -> bool {
    let lower = what.to_ascii_lowercase();
    lower.starts_with("sw-") || lower.starts_with("seawall::")
}

/// Looks one request up in the access log.
fn request(file: Option<&Path>, args: &ExplainArgs, id: &str) -> Done {
    let target = target::find(file, &args.target)?;
    let Some(state) = target.state else {
        return Err(Failure::failed(
            format!(
                "`{id}` is no code, and to look it up as a request the state folder must be known"
            ),
            "say which one with `--state DIR` or `--config FILE`",
        ));
    };
    let files = log_files(&state);
    if files.is_empty() {
        return Err(Failure::failed(
            format!("`{id}` is no code, and there is no access log in `{}`", state.display()),
            "codes look like `SW-301`; the access log is kept unless `log.enabled` is `false`",
        ));
    }
    let Some(line) = files.iter().find_map(|file| find_line(file, id)) else {
        return Err(Failure::failed(
            format!("the access log in `{}` knows no request `{id}`", state.display()),
            "refusals are written at `log.refusals_per_second` at most, and old files are removed; the code on the page can still be explained",
        ));
    };
    let cause = line.get(CAUSE).and_then(Value::as_str).and_then(find_cause);
    let met = behind::met(&target.socket, &line);
    if args.json {
        let meaning = cause.map_or(Value::Null, cause_json);
        let mitigation = met.as_ref().and_then(behind::Met::measure).unwrap_or(&Value::Null);
        return output::json(
            &json!({"request": line, "meaning": meaning, "mitigation": mitigation}),
        );
    }
    let mut text = String::new();
    for (name, value) in line.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name:<28} {}\n", value.escape_debug()));
    }
    if let Some(cause) = cause {
        text.push_str(&format!("\n{}", cause_text(cause)));
    }
    if let Some(met) = met {
        text.push_str(&met.text());
    }
    output::data(&text)
}

fn log_files(state: &Path) -> Vec<PathBuf> {
    let entries = state.join(LOG_FOLDER).read_dir().into_iter().flatten();
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_log = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("access.log"))
    };
    let mut files: Vec<PathBuf> = names.filter(is_log).collect();
    files.sort();
    files
}

fn find_line(file: &Path, id: &str) -> Option<Value> {
    let reader = BufReader::new(File::open(file).ok()?);
    reader.lines().map_while(Result::ok).filter(|line| line.contains(id)).find_map(|line| {
        let value: Value = serde_json::from_str(&line).ok()?;
        (value.get(REQUEST_ID)?.as_str()? == id).then_some(value)
    })
}

const REQUEST_ID: &str = "seawall.request.id";
const CAUSE: &str = "seawall.cause";
const LOG_FOLDER: &str = "log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_explained_in_whole_sentences() {
        for cause in Cause::ALL {
            let Meaning { what, reader, act } = meaning(cause);
            for text in [what, reader, act] {
                assert!(text.ends_with('.') && text.len() > 7, "{}: {text}", cause.code());
            }
        }
    }

    #[test]
    fn codes_are_found_as_people_write_them() {
        for text in
            ["SW-301", "sw-301", "sw 301", "SW301", "origin_busy", "Origin busy", " SW-301\n"]
        {
            assert_eq!(find_cause(text), Some(Cause::OriginBusy), "{text}");
        }
        for text in ["", "SW-999", "301", "origin"] {
            assert_eq!(find_cause(text), None, "{text}");
        }
    }

    #[test]
    fn a_request_is_found_by_its_whole_identifier() {
        let file = std::env::temp_dir().join(format!("seawall-explain-{}.log", std::process::id()));
        let lines =
            "not json\n{\"seawall.request.id\":\"ab12\",\"seawall.cause\":\"held_budget\"}\n";
        std::fs::write(&file, lines).expect("the temporary folder is writable");
        let found = find_line(&file, "ab12").expect("the line is there");
        assert_eq!(found.get(CAUSE).and_then(Value::as_str), Some("held_budget"));
        assert_eq!(find_line(&file, "ab1"), None);
        std::fs::remove_file(file).expect("own file");
    }
}
