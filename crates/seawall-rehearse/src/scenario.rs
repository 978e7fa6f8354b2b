//! The floods that detection is measured with: the attacks of the simulator that fit one machine.
//!
//! Sizes are those of the simulator up to [`caps`](crate::caps): one machine carries site, shield,
//! readers and flood. Requests look as tools make them; nothing in them marks them as ours.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::site::HOST;

/// A flood by its number in the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// A1: one page, which is held, over and over.
    OneUrl,
    /// The same from so few that each asks for more held pages than one reader may.
    OneUrlFew,
    /// A2: one page with a random query.
    Query,
    /// A4: searches, which the origin has to work for.
    Search,
    /// A9: names of browsers, languages and orders of fields that change with each request.
    Rotating,
    /// A12: ten seconds of flood, twenty without, each time another: searches, random paths, rotation, and
    /// searches again.
    Pulses,
}

/// What a bot does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wave {
    OneUrl,
    Query,
    Search,
    Missing,
    Rotating,
}

/// How long a pulse lasts, and after how long the next one begins.
const PULSE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(30);
const PULSES: [Wave; 3] = [Wave::Search, Wave::Missing, Wave::Rotating];

impl Scenario {
    /// Addresses that take part.
    pub(crate) const fn bots(self) -> usize {
        match self {
            Self::OneUrl => 2_000,
            Self::OneUrlFew => 20,
            Self::Search => 1_000,
            Self::Query | Self::Rotating | Self::Pulses => 3_000,
        }
    }

    /// How long a bot waits between two requests, `since` the begin of the flood; or until when
    /// nothing is asked.
    pub(crate) fn pace(self, since: Duration) -> Result<Duration, Duration> {
        let wave = self.wave(since)?;
        Ok(Duration::from_secs_f64(self.bots() as f64 / wave.per_second()))
    }

    /// A whole request head, `since` the begin of the flood.
    pub(crate) fn request(self, since: Duration, rng: &mut Rng, pages: &[String]) -> String {
        let wave = self.wave(since).unwrap_or(Wave::OneUrl);
        let target = wave.target(rng, pages);
        let fields = if wave == Wave::Rotating { rotating(rng) } else { TOOL.to_owned() };
        format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{fields}Connection: keep-alive\r\n\r\n")
    }

    fn wave(self, since: Duration) -> Result<Wave, Duration> {
        let number = since.as_secs() / PERIOD.as_secs();
        let begun = PERIOD * u32::try_from(number).unwrap_or(u32::MAX);
        match self {
            Self::OneUrl | Self::OneUrlFew => Ok(Wave::OneUrl),
            Self::Query => Ok(Wave::Query),
            Self::Search => Ok(Wave::Search),
            Self::Rotating => Ok(Wave::Rotating),
            Self::Pulses if since - begun < PULSE => Ok(PULSES[number as usize % PULSES.len()]),
            Self::Pulses => Err(begun + PERIOD),
        }
    }
}

impl Wave {
    /// Of all bots together.
    const fn per_second(self) -> f64 {
        match self {
            Self::OneUrl | Self::Query => 5_000.0,
            Self::Search => 300.0,
            Self::Missing => 3_000.0,
            Self::Rotating => 1_500.0,
        }
    }

    fn target(self, rng: &mut Rng, pages: &[String]) -> String {
        match self {
            Self::OneUrl => "/".to_owned(),
            Self::Query => format!("/?{:x}={:x}", rng.draw() as u16, rng.draw() as u32),
            Self::Search => format!("/search?q={:x}", rng.draw() as u32),
            Self::Missing => format!("/{:x}/{:x}", rng.draw() as u16, rng.draw() as u32),
            Self::Rotating if rng.below(10) == 0 => {
                format!("/search?q={:x}", rng.draw() as u32)
            }
            Self::Rotating => pages[rng.below(pages.len())].clone(),
        }
    }
}

/// What a script says of itself.
const TOOL: &str =
    "User-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n";

/// The name of some browser, and the fields of one in some order.
fn rotating(rng: &mut Rng) -> String {
    let major = 90 + rng.below(60);
    let agent = match rng.below(4) {
        0 => format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0"
        ),
        1 => format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"
        ),
        2 => format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Mobile Safari/537.36"
        ),
        _ => format!(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.0 Safari/605.1.15",
            13 + rng.below(14)
        ),
    };
    let language = rng.pick(&["en-US,en;q=0.9", "de,en;q=0.5", "fr-FR,fr;q=0.8", "es", "ru-RU,ru"]);
    let accept = rng.pick(&["text/html,*/*;q=0.8", "*/*", "text/html,application/xhtml+xml"]);
    let mut fields = [
        format!("User-Agent: {agent}\r\n"),
        format!("Accept: {accept}\r\n"),
        format!("Accept-Language: {language}\r\n"),
        "Accept-Encoding: gzip, deflate\r\n".to_owned(),
        "Cache-Control: no-cache\r\n".to_owned(),
    ];
    rng.shuffle(&mut fields);
    // One in two leaves the last one out.
    fields[..5 - rng.below(2)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps;
    use crate::sources::Sources;

    const ALL: [Scenario; 6] = [
        Scenario::OneUrl,
        Scenario::OneUrlFew,
        Scenario::Query,
        Scenario::Search,
        Scenario::Rotating,
        Scenario::Pulses,
    ];

    #[test]
    fn every_scenario_is_within_the_caps() {
        for scenario in ALL {
            assert!(scenario.bots() <= Sources::new(1).bots.len());
            let pace = scenario.pace(Duration::ZERO).expect("it begins at once");
            let rate = scenario.bots() as f64 / pace.as_secs_f64();
            assert!(rate <= caps::MAX_REQUESTS_PER_SECOND as f64, "{scenario:?}: {rate}");
        }
    }

    #[test]
    fn pulses_last_ten_seconds_of_thirty_and_the_fourth_is_the_first_again() {
        let wave = |s: f64| Scenario::Pulses.wave(Duration::from_secs_f64(s));
        assert_eq!(wave(9.9), Ok(Wave::Search));
        assert_eq!(wave(10.0), Err(Duration::from_secs(30)));
        assert_eq!((wave(30.0), wave(69.0)), (Ok(Wave::Missing), Ok(Wave::Rotating)));
        assert_eq!(wave(90.0), Ok(Wave::Search));
    }

    #[test]
    fn a_tool_says_the_same_each_time_and_one_that_rotates_does_not() {
        let pages = ["/".to_owned()];
        let mut rng = Rng::stream(1, "bot");
        let mut fields = |scenario: Scenario| {
            let head = scenario.request(Duration::ZERO, &mut rng, &pages);
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            head.split_once("\r\n").map(|(_, fields)| fields.to_owned())
        };
        assert_eq!(fields(Scenario::Query), fields(Scenario::Query));
        assert_ne!(fields(Scenario::Rotating), fields(Scenario::Rotating));
    }
}
