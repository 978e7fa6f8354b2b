//! What is said in the example: signatures and their history, notes, judgements.

use crate::assess::{Assessment, Confidence, Likelihood, Subject};
use crate::entry::{Evidence, Fault, MetCounts, Move, Note, NoteKind, Word};
use crate::report::{Look, MitigationHistory, TimedMove};

use super::at;

/// A key that signs nothing.
pub(super) const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
     -----END PUBLIC KEY-----\n";

/// When, from which rung to which, and why.
type Moved = (u32, Option<&'static str>, Option<&'static str>, &'static str);

/// What each mitigation looks like, with what it met.
pub(super) fn mitigations(met: &[MetCounts; 3]) -> Vec<MitigationHistory> {
    let search = [
        ("path template", "path template /search"),
        ("query", "query keys q with ever new values"),
    ];
    let browser = [
        ("JA4", "JA4 t13d1516h2_8daaf6152771_02713d6af862"),
        ("languages", "languages not sent"),
        ("user agent", "user agent Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/119.0.0.0"),
    ];
    let login = [
        ("method", "POST over HTTP/1.1"),
        ("path template", "path template /wp-login.php"),
        ("browser", "python-requests 2"),
    ];
    let (demote, challenge, block) = (Some("demote"), Some("challenge"), Some("block"));
    vec![
        history(
            met[0],
            &search,
            1_893.0,
            &[
                (904, None, demote, "found"),
                (919, demote, challenge, "stands"),
                (990, challenge, block, "nobody_passes"),
                (3_240, block, None, "ceased"),
            ],
        ),
        history(
            met[1],
            &browser,
            1_097.0,
            &[
                (1_265, None, demote, "found"),
                (1_280, demote, challenge, "stands"),
                (1_345, challenge, block, "nobody_passes"),
                (1_358, block, challenge, "reader_hurt"),
                (1_660, challenge, block, "nobody_passes"),
                (3_120, block, None, "ceased"),
            ],
        ),
        history(
            met[2],
            &login,
            1_401.0,
            &[
                (1_984, None, demote, "found"),
                (1_999, demote, block, "no_readers"),
                (2_880, block, None, "ceased"),
            ],
        ),
    ]
}

fn history(
    met: MetCounts,
    terms: &[(&str, &str)],
    matched_per_s: f64,
    moves: &[Moved],
) -> MitigationHistory {
    let signature = terms.iter().map(|(_, text)| *text).collect::<Vec<_>>().join(", ");
    let words = |(attribute, text): &(&str, &str)| Word {
        attribute: (*attribute).to_owned(),
        value: format!("{:016x}", text.len() as u64 * 0x9e37_79b9_7f4a),
        text: (*text).to_owned(),
    };
    let moves = moves.iter().enumerate().map(|(place, &(second, from, to, why))| TimedMove {
        at: at(second),
        change: Move {
            id: met.id,
            signature: signature.clone(),
            terms: terms.iter().map(words).collect(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            why: why.to_owned(),
            evidence: evidence(matched_per_s, why, place as u32 + 1),
        },
    });
    MitigationHistory {
        id: met.id,
        signature: signature.clone(),
        moves: moves.collect(),
        hardest: "block".to_owned(),
        met,
    }
}

fn evidence(matched_per_s: f64, why: &str, place: u32) -> Evidence {
    let has_ceased = why == "ceased";
    Evidence {
        matched_per_s: if has_ceased {
            0.2
        } else {
            (matched_per_s * (0.7 + 0.05 * f64::from(place))).round()
        },
        expected_per_s: 0.2,
        coverage: if has_ceased { 0.0 } else { 0.94 },
        collateral_upper: 0.003_1,
        baseline_hits: 4,
        baseline_clients: 3_812,
        sample_hits: if has_ceased { 0 } else { 380 + 20 * place },
        sample_rows: 500,
        sample_clients: if has_ceased { 0 } else { 212 },
        ln_p: if has_ceased { 0.0 } else { -611.4 },
    }
}

/// What requests looked like.
pub(super) fn looks() -> Vec<Look> {
    [
        ("path template", "path template /search", 0.58, 0.02),
        ("path template", "path template /", 0.26, 0.21),
        ("path template", "path template /wp-login.php", 0.16, 0.001),
        ("JA4", "JA4 t13d190900_9dc949149365_97f8aa674fc9", 0.58, 0.004),
        ("JA4", "JA4 t13d1516h2_8daaf6152771_02713d6af862", 0.26, 0.06),
        ("method", "GET over HTTP/2", 0.84, 0.88),
        ("method", "POST over HTTP/1.1", 0.16, 0.004),
        ("browser", "Chrome 119", 0.84, 0.01),
        ("browser", "python-requests 2", 0.16, 0.0),
        ("languages", "languages not sent", 0.93, 0.17),
        ("cookie", "no cookie", 0.99, 0.44),
    ]
    .map(|(attribute, text, share_of_met, share_of_others)| Look {
        attribute: attribute.to_owned(),
        text: text.to_owned(),
        share_of_met,
        share_of_others,
    })
    .to_vec()
}

/// What failed.
pub(super) fn faults() -> Vec<Fault> {
    vec![Fault {
        at: at(2_010),
        part: "record".to_owned(),
        what: "cannot write: no space left on the device".to_owned(),
    }]
}

/// One of each kind.
pub(super) fn notes() -> Vec<Note> {
    let note = |second, author: &str, kind, source: Option<&str>, about, text: &str| Note {
        at: at(second),
        author: author.to_owned(),
        kind,
        source: source.map(str::to_owned),
        about,
        text: text.to_owned(),
    };
    vec![
        note(
            1_020,
            "Ana Reyes, night desk",
            NoteKind::Observation,
            None,
            None,
            "The editors' system answers slowly; the home page opens at once.",
        ),
        note(
            1_500,
            "Ana Reyes, night desk",
            NoteKind::Event,
            Some("https://www.daily.example/2026/11/22/audit"),
            Some(at(60)),
            "Our report on the audit of the harbour authority went online at 09:54.",
        ),
        note(
            2_400,
            "Марија Петровић, administrator",
            NoteKind::Claim,
            Some("https://social.example/@somebody/112"),
            Some(at(2_100)),
            "A post under an account of two days says \u{201c}daily is down, this is us\u{201d}. The site was not down.",
        ),
        note(
            2_700,
            "Ana Reyes, night desk",
            NoteKind::Demand,
            Some("mail from pay@mail.example"),
            Some(at(1_860)),
            "A mail asks for 2,000 in a crypto-currency and says that otherwise it will go on tomorrow.",
        ),
        note(
            3_400,
            "Марија Петровић, administrator",
            NoteKind::Statement,
            Some("telephone, Example Hosting, abuse desk"),
            None,
            "The provider says that it has switched off eleven rented machines of one customer.",
        ),
    ]
}

/// What is judged.
pub(super) fn assessments() -> Vec<Assessment> {
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![
        Assessment {
            subject: Subject::Hosting,
            likelihood: Likelihood::VeryLikely,
            confidence: Confidence::Moderate,
            evidence: all(&[
                "four of the five prefixes with the most requests that a mitigation met are on the operator's list of hosting networks",
                "71 % of the rows of the sample that a mitigation met came through them, and less than 1 % of all others",
            ]),
            alternatives: all(&[
                "readers behind a company's virtual private network that leaves through a hosting network",
            ]),
            would_change: all(&[
                "a provider's word that these addresses were exits of such a network at the time",
            ]),
        },
        Assessment {
            subject: Subject::SingleTool,
            likelihood: Likelihood::Unlikely,
            confidence: Confidence::Low,
            evidence: all(&[
                "three signatures with different TLS greetings and field orders began 6 and 12 minutes apart",
                "the most common TLS greeting made 58 % of what a mitigation met",
            ]),
            alternatives: all(&["one tool with several settings"]),
            would_change: all(&["a copy of a tool that makes all three looks"]),
        },
    ]
}

/// What is not known.
pub(super) fn unknown() -> Vec<String> {
    [
        "Who ordered, paid for or steered this cannot be seen from here.",
        "For 18 seconds nothing was recorded, because the disk was full.",
        "While the line was full (46 seconds), some packets were lost before anybody counted them.",
        "Full addresses were kept of four sources only; the rest is known by prefix.",
    ]
    .map(str::to_owned)
    .to_vec()
}
