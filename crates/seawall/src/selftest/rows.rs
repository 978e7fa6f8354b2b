//! What is expected of each attack: the limit that bounds it, how it is named, what it may hold.

use std::time::Duration;

use seawall_model::{Cause, Limits, Misbehaviour};
use seawall_rehearse::attack::{AMBIGUOUS_MESSAGES, Attack, CONNECTIONS, Felt};

use super::instance::CONNECTIONS_OF_ONE;

/// Most memory that a connection may hold above an idle one.
pub(super) const MAX_HELD_BYTES: u64 = 256 * 1024;
/// So long that it is no limit.
const NEVER: Duration = Duration::from_secs(3_600);

/// How an attack must show in the metrics of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// `seawall_wire_misbehaviour_total` of this kind, for each connection.
    Misbehaviour(Misbehaviour),
    /// The same of any kinds, this often.
    AnyMisbehaviour(u64),
    /// `seawall_connections_refused_total` of this cause, this often.
    Refused(Cause, u64),
}

/// What is expected of one attack.
pub(super) struct Row {
    /// The limit, as it is called in `Limits`; empty where it is a rule and not a number.
    pub(super) limit: &'static str,
    pub(super) sign: Sign,
    /// Whether the memory it holds is judged.
    pub(super) judges_memory: bool,
}

pub(super) fn row(attack: Attack) -> Row {
    use Misbehaviour as M;
    let (limit, sign) = match attack {
        Attack::SlowHead => ("header_timeout", Sign::Misbehaviour(M::SlowHead)),
        Attack::SlowBody => ("body_grace", Sign::Misbehaviour(M::SlowContent)),
        Attack::SlowRead => ("response_grace", Sign::Misbehaviour(M::SlowReader)),
        Attack::Pipelining => ("max_pipelined_bytes", Sign::Misbehaviour(M::SlowReader)),
        Attack::LargeHead => ("max_head_bytes", Sign::Misbehaviour(M::HeadTooLarge)),
        Attack::ManyFields => ("max_fields", Sign::Misbehaviour(M::HeadTooLarge)),
        Attack::Smuggling => ("", Sign::AnyMisbehaviour(AMBIGUOUS_MESSAGES as u64)),
        Attack::Connections => {
            let beyond = CONNECTIONS - CONNECTIONS_OF_ONE;
            ("max_connections_of_one", Sign::Refused(Cause::TooManyConnectionsOfOne, beyond as u64))
        }
        Attack::SlowHello => ("handshake_timeout", Sign::Misbehaviour(M::SlowHandshake)),
        Attack::FragmentedHello => ("max_hello_bytes", Sign::Misbehaviour(M::TlsHelloTooLarge)),
        Attack::RapidReset => ("http2.max_resets", Sign::Misbehaviour(M::Http2Resets)),
        Attack::MadeYouReset => {
            ("http2.max_provoked_resets", Sign::Misbehaviour(M::Http2ProvokedResets))
        }
        Attack::Continuation => {
            ("http2.max_continuations", Sign::Misbehaviour(M::Http2Continuation))
        }
        Attack::Bomb => ("http2.max_held_bytes", Sign::Misbehaviour(M::Http2HeldBytes)),
        Attack::BombStreams => ("http2.stream_bytes", Sign::Misbehaviour(M::Http2HeldBytes)),
        Attack::Settings => ("http2.max_settings", Sign::Misbehaviour(M::Http2Settings)),
        Attack::Ping => ("http2.max_pings", Sign::Misbehaviour(M::Http2Pings)),
        Attack::EmptyData => ("http2.max_empty_data", Sign::Misbehaviour(M::Http2EmptyData)),
        Attack::Priority => ("http2.max_priorities", Sign::Misbehaviour(M::Http2Priorities)),
        Attack::WindowUpdate => {
            ("http2.max_window_updates", Sign::Misbehaviour(M::Http2WindowUpdates))
        }
        Attack::ZeroWindow => ("idle_timeout", Sign::Misbehaviour(M::Http2Stalled)),
    };
    let judges_memory = matches!(attack, Attack::Bomb | Attack::BombStreams | Attack::Pipelining);
    Row { limit, sign, judges_memory }
}

impl Sign {
    /// What the attack is called in the event log and in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Misbehaviour(kind) => kind.as_str(),
            Self::AnyMisbehaviour(_) => "misbehaviour",
            Self::Refused(cause, _) => cause.as_str(),
        }
    }
}

/// Takes the limit of `attack` away.
pub(super) fn weaken(attack: Attack, limits: &mut Limits) {
    let http2 = &mut limits.http2;
    match attack {
        Attack::SlowHead => limits.header_timeout = NEVER,
        Attack::SlowBody => limits.body_grace = NEVER,
        Attack::SlowRead => limits.response_grace = NEVER,
        Attack::Pipelining => limits.max_pipelined_bytes = usize::MAX,
        Attack::LargeHead => limits.max_head_bytes = 1 << 20,
        Attack::ManyFields => limits.max_fields = 10_000,
        Attack::Smuggling => {}
        Attack::Connections => limits.max_connections_of_one = usize::MAX,
        Attack::SlowHello => limits.handshake_timeout = NEVER,
        Attack::FragmentedHello => limits.max_hello_bytes = 1 << 20,
        Attack::RapidReset => http2.max_resets = u64::MAX,
        Attack::MadeYouReset => {
            http2.max_provoked_resets = u64::MAX;
            http2.max_provoked_resets_in_all = u64::MAX;
        }
        Attack::Continuation => {
            http2.max_continuations = u32::MAX;
            http2.max_header_block_bytes = u32::MAX;
        }
        Attack::Bomb => http2.max_held_bytes = usize::MAX,
        Attack::BombStreams => http2.stream_bytes = 0,
        Attack::Settings => http2.max_settings = u64::MAX,
        Attack::Ping => http2.max_pings = u64::MAX,
        Attack::EmptyData => http2.max_empty_data = u64::MAX,
        Attack::Priority => http2.max_priorities = u64::MAX,
        Attack::WindowUpdate => http2.max_window_updates = u64::MAX,
        Attack::ZeroWindow => limits.idle_timeout = NEVER,
    }
}

/// What is wrong with the outcome; `None`: nothing. `signs` is how often the row's sign was counted.
pub(super) fn fault(row: &Row, felt: &Felt, signs: u64) -> Option<String> {
    if felt.opened == 0 {
        return Some("no connection could be opened".to_owned());
    }
    if felt.left > 0 {
        return Some(format!("{} of {} connections were not closed", felt.left, felt.opened));
    }
    let (wanted, name) = match row.sign {
        Sign::Misbehaviour(_) => (felt.opened, row.sign.name()),
        Sign::AnyMisbehaviour(wanted) | Sign::Refused(_, wanted) => (wanted, row.sign.name()),
    };
    if signs < wanted {
        return Some(format!("`{name}` was counted {signs} times instead of {wanted}"));
    }
    let held = felt.held_bytes / felt.opened;
    if row.judges_memory && held > MAX_HELD_BYTES {
        return Some(format!("each connection held {} KiB", held / 1024));
    }
    (!felt.others_served).then(|| "another reader was not served meanwhile".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Felt =
        Felt { opened: 4, left: 0, sent_bytes: 1_000, held_bytes: 4_096, others_served: true };

    #[test]
    fn an_outcome_is_good_only_if_nothing_is_left_unnamed_held_or_unserved() {
        let row = row(Attack::Bomb);
        assert_eq!(fault(&row, &GOOD, 4), None);
        let wrong = [
            (Felt { opened: 0, ..GOOD }, 4),
            (Felt { left: 1, ..GOOD }, 4),
            (Felt { held_bytes: 4 * (MAX_HELD_BYTES + 1), ..GOOD }, 4),
            (Felt { others_served: false, ..GOOD }, 4),
            (GOOD, 3),
        ];
        for (felt, signs) in wrong {
            assert!(fault(&row, &felt, signs).is_some(), "{felt:?}, {signs}");
        }
    }

    #[test]
    fn every_limit_that_a_row_names_is_the_one_that_is_taken_away() {
        for attack in Attack::ALL {
            let (mut limits, limit) = (Limits::default(), row(attack).limit);
            weaken(attack, &mut limits);
            let (weak, strong) = (format!("{limits:#?}"), format!("{:#?}", Limits::default()));
            let changed: Vec<&str> = strong
                .lines()
                .zip(weak.lines())
                .filter(|(before, after)| before != after)
                .filter_map(|(before, _)| before.trim().split(':').next())
                .collect();
            let field = limit.trim_start_matches("http2.");
            assert_eq!(changed.contains(&field), !limit.is_empty(), "{limit}: {changed:?}");
        }
    }

    /// Lines of the section of an attack in `docs/attacks.md`.
    fn section(page: &'static str, attack: Attack) -> Vec<&'static str> {
        let heading = format!("## {}", attack.name());
        let from = page.lines().skip_while(|line| *line != heading).skip(1);
        from.take_while(|line| !line.starts_with("## ")).collect()
    }

    #[test]
    fn the_page_about_attacks_names_each_with_its_limit_label_and_test() {
        let page = include_str!("../../../../docs/attacks.md");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for attack in Attack::ALL {
            let (lines, name, row) = (section(page, attack), attack.name(), row(attack));
            let text = lines.join(" ");
            assert!(text.contains(attack.cve()), "{name}: {}", attack.cve());
            assert!(text.contains(&format!("`{}`", row.limit)) || row.limit.is_empty(), "{name}");
            match row.sign {
                Sign::Misbehaviour(kind) => assert!(text.contains(kind.as_str()), "{name}"),
                Sign::Refused(cause, _) => assert!(text.contains(cause.as_str()), "{name}"),
                Sign::AnyMisbehaviour(_) => {}
            }
            let test = lines.iter().find_map(|line| line.strip_prefix("Test: "));
            let mut parts = test.expect("a test is named").split('`').skip(1).step_by(2);
            let (path, function) = (parts.next(), parts.next());
            let path = root.join(path.expect("a file"));
            let source = std::fs::read_to_string(&path).expect("the file exists");
            let function = format!("fn {}(", function.expect("a function"));
            assert!(source.contains(&function), "{name}: {function} in {}", path.display());
        }
        let limits = format!("{:#?}", Limits::default());
        let named = page.lines().filter_map(|line| line.strip_prefix("Limit: "));
        for limit in named.flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let field = limit.trim_start_matches("http2.");
            let known = field.starts_with("http2_")
                || limits.lines().any(|line| line.trim().starts_with(&format!("{field}:")))
                || Misbehaviour::ALL.iter().any(|kind| kind.as_str() == field)
                || Cause::ALL.iter().any(|cause| cause.as_str() == field);
            assert!(known, "`{limit}` is neither a limit nor a label");
        }
    }
}
