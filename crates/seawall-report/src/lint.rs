//! What no text of ours may say: words that claim more than a record can carry.
//!
//! A report accuses nobody. An address says who registered a network, not who sat before a machine, and never for whom; a
//! chain of digests shows that nothing was altered, not that anything was so. Texts are made from templates in English; a few words of other
//! languages are here as well, for translations of pages and for constants that nobody meant to show. Words of people
//! (notes) and of clients (user agents, names of networks) are quotations and not looked at: who renders them marks
//! them as such.
//!
//! It knows nothing of meaning: a text without findings may still be wrong. *Sources:* detection.md §9; ICD 203.

mod places;

use self::places::{COUNTRIES, NATIONS};

/// What is wrong with a text: the words, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As they stand there, in small letters.
    pub words: String,
    /// Why they must not.
    pub why: &'static str,
}

/// Everything in a text that must not be said. Markup has to be taken out before.
pub fn lint(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sentence in sentences(text) {
        let words = words(sentence);
        for (phrases, why) in PHRASES {
            for phrase in *phrases {
                if has(&words, phrase) {
                    findings.push(Finding { words: (*phrase).to_owned(), why });
                }
            }
        }
        findings.extend(nations(&words));
        findings.extend(countries(&words));
        if has(&words, "confidence") && LIKELIHOODS.iter().any(|band| has(&words, band)) {
            let words = sentence.trim().to_lowercase();
            findings
                .push(Finding { words, why: "likelihood and confidence stand in one sentence" });
        }
    }
    findings
}

/// Sentences end with a point, a colon or a mark before a blank, or with a line.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.split(". ")).flat_map(|part| part.split(['!', '?', ';']))
}

fn words(sentence: &str) -> Vec<String> {
    let is_inner = |c: char| c.is_alphanumeric() || c == '-';
    sentence
        .split(|c| !is_inner(c))
        .map(|word| word.trim_matches('-').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether a phrase is there, word by word; `*` at the end of a word stands for any ending.
fn has(words: &[String], phrase: &str) -> bool {
    let wanted: Vec<&str> = phrase.split(' ').collect();
    let is = |word: &String, wanted: &&str| match wanted.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == wanted,
    };
    words
        .windows(wanted.len())
        .any(|window| window.iter().zip(&wanted).all(|(word, want)| is(word, want)))
}

/// "Russian attack": where an address is registered is no nationality.
fn nations(words: &[String]) -> Vec<Finding> {
    let is_deed = |word: &String| DEEDS.iter().any(|deed| word.starts_with(deed));
    let pairs = words.windows(2).chain(words.windows(3));
    let of = pairs.filter(|window| {
        NATIONS.contains(&window[0].as_str()) && window.last().is_some_and(is_deed)
    });
    of.map(|window| Finding { words: window.join(" "), why: "an attack has no nationality" })
        .collect()
}

/// "from Germany": a network is registered in a country, and nothing more is known.
fn countries(words: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let rest = words[place + 1..].join(" ");
        let country = COUNTRIES.iter().find(|country| {
            let rest = rest.strip_prefix("the ").unwrap_or(&rest);
            rest.strip_prefix(**country)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        let before = place.checked_sub(1).and_then(|it| words.get(it)).map(String::as_str);
        let claims = match word.as_str() {
            "from" | "aus" | "depuis" | "desde" | "из" => true,
            "in" => matches!(
                before,
                Some(
                    "located"
                        | "based"
                        | "origin"
                        | "origins"
                        | "originated"
                        | "originating"
                        | "sitting"
                )
            ),
            _ => false,
        };
        if let (Some(country), true) = (country, claims) {
            findings.push(Finding {
                words: format!("{word} {country}"),
                why: "networks are registered in a country; nothing came from it",
            });
        }
    }
    findings
}

/// Phrases, each with why.
const PHRASES: &[(&[&str], &str)] = &[
    (
        &[
            "prove",
            "proves",
            "proved",
            "proven",
            "proving",
            "proof that",
            "proof of",
            "undeniabl*",
            "undoubtedly",
            "irrefutabl*",
            "without doubt",
            "beyond doubt",
            "beweist",
            "bewiesen",
            "prouve",
            "prouvé",
            "demuestra",
            "dimostra",
            "comprova",
            "доказывает",
            "доказано",
        ],
        "a record shows what was seen; it proves nothing beyond",
    ),
    (
        &[
            "state-sponsored",
            "state sponsored",
            "state-backed",
            "state-managed",
            "state actor",
            "state actors",
            "state-run",
            "nation-state",
            "nation state",
            "government-backed",
            "government-sponsored",
            "military hackers",
            "staatlich gesteuert",
            "staatlich gelenkt",
            "parrainé par",
            "patrocinado por el",
            "спонсируем*",
        ],
        "who sponsors an attack cannot be told from traffic",
    ),
    (
        &[
            "attributed to",
            "attribute it to",
            "perpetrat*",
            "culprit*",
            "mastermind*",
            "on behalf of",
            "ordered by",
            "paid for by",
            "commissioned by",
            "hired by",
            "responsible for the attack",
            "carried out by",
            "the attacker is",
            "the attackers are",
            "threat actor",
            "threat actors",
            "apt group",
            "im auftrag von",
        ],
        "who did it cannot be told from traffic",
    ),
    (
        &[
            "hackers",
            "hacker",
            "cyberterroris*",
            "cyberwar*",
            "cyber war",
            "criminals",
            "terrorist*",
        ],
        "names people whom nobody has seen",
    ),
    (
        &["definitely", "certainly", "unquestionably", "it is clear that", "obviously"],
        "says more than the bands of likelihood",
    ),
];

/// What a nationality must not stand before.
const DEEDS: &[&str] = &[
    "attack",
    "actor",
    "hack",
    "botnet",
    "bot",
    "flood",
    "campaign",
    "operation",
    "cyber",
    "ddos",
    "intrus",
    "group",
    "angriff",
    "angreifer",
];

const LIKELIHOODS: &[&str] = &[
    "likely",
    "unlikely",
    "almost certain",
    "almost no chance",
    "roughly even",
    "probable",
    "probably",
    "improbable",
];

#[cfg(test)]
mod tests;
