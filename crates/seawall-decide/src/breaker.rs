//! Whether readers who could be given an archived copy should have the origin asked for them.
//!
//! A circuit breaker for one origin. It concerns only requests that have a copy to fall back to; others
//! go on asking, for there is nothing else to give them.
//!
//! * **Signal:** how exchanges for pages of which there is a copy ended: such a page was well once, so
//!   that one broken page, or somebody who asks for it on purpose, opens nothing. What our own queue
//!   refused or held up says nothing, unless the origin answers nobody at all.
//! * **Trip:** three failures in a row, or half of at least ten in ten seconds.
//! * **While open:** nobody with a copy waits. One probe goes each second, less often the longer it
//!   lasts, by whoever calls [`Breaker::takes_probe`], never by a reader.
//! * **Recovery:** a slow start: a tenth of the readers, half as many more with each second that goes
//!   well. It opens again as it opened first.
//! * **Patience:** how long one reader waits before the copy is given. It halves with each time-out and
//!   grows slowly with answers, between [`BreakerConfig::least_patience`] and
//!   [`BreakerConfig::patience`].
//! * **Blind spot:** an origin that answers 200 with an error page; the operator names a marker for that.
//!
//! It does **not** know pages, copies or clocks.

use core::time::Duration;

use seawall_model::Instant;

/// How a breaker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// How long a reader with a copy to fall back to waits for an origin that is well.
    pub patience: Duration,
    /// The least that this comes down to.
    pub least_patience: Duration,
}

impl Default for BreakerConfig {
    /// 2 s, as long as the queue before the origin at most lets one wait, and 300 ms.
    fn default() -> Self {
        Self { patience: Duration::from_secs(2), least_patience: Duration::from_millis(300) }
    }
}

/// What is found out about the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginOutcome {
    /// It answered, and not with an error of its own.
    Answered,
    /// It refused the connection, broke off, or answered 5xx.
    Failed,
    /// It took longer than a reader's patience.
    TookTooLong,
}

/// The state, for status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everybody's requests go to the origin.
    Closed,
    /// Nobody's who could be given a copy.
    Open,
    /// Some.
    Recovering,
}

impl BreakerState {
    /// The name in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Recovering => "recovering",
        }
    }
}

/// The breaker of one origin. A few dozen bytes.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    in_a_row: u32,
    /// In the current ten seconds.
    seen: u32,
    failed: u32,
    window_began: Instant,
    patience: Duration,
    next_probe: Instant,
    probe_every: Duration,
    /// Of readers, while recovering.
    share: f32,
    credit: f32,
    raised: Instant,
    /// Whether anything was answered since the share was raised.
    answered: bool,
}

/// Failures in a row that open it.
const TRIP_IN_A_ROW: u32 = 3;
/// Exchanges in a window of which half must have failed.
const TRIP_OF: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(10);
const OVERDUE: Duration = Duration::from_secs(30);
const FIRST_SHARE: f32 = 0.1;
const RAISE_BY: f32 = 1.5;
const RAISE_EVERY: Duration = Duration::from_secs(1);

impl Breaker {
    /// A closed one.
    pub fn new(config: BreakerConfig) -> Self {
        let zero = Instant::from_nanos(0);
        Self {
            config,
            state: BreakerState::Closed,
            in_a_row: 0,
            seen: 0,
            failed: 0,
            window_began: zero,
            patience: config.patience,
            next_probe: zero,
            probe_every: FIRST_PROBE,
            share: 1.0,
            credit: 0.0,
            raised: zero,
            answered: false,
        }
    }

    /// Whether the origin is to be asked for one more reader who could be given a copy.
    pub fn asks_origin(&mut self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed => true,
            // Whoever probes does not: better one reader asks than that nobody ever does.
            BreakerState::Open if now >= self.next_probe + OVERDUE => self.takes_probe(now),
            BreakerState::Open => false,
            BreakerState::Recovering => {
                self.raise(now);
                self.credit += self.share;
                if self.credit >= 1.0 {
                    self.credit -= 1.0;
                    return true;
                }
                false
            }
        }
    }

    /// Whether a probe is due; whoever is told so sends it, and notes what came of it.
    pub fn takes_probe(&mut self, now: Instant) -> bool {
        if self.state != BreakerState::Open || now < self.next_probe {
            return false;
        }
        self.probe_every = (self.probe_every * 2).min(LONGEST_PROBE);
        self.next_probe = now + self.probe_every;
        true
    }

    /// Takes note of how an exchange ended.
    pub fn note(&mut self, now: Instant, outcome: OriginOutcome) {
        self.adapt(outcome);
        match (self.state, outcome) {
            (BreakerState::Open, OriginOutcome::Answered) => self.begin_recovery(now),
            (BreakerState::Open, _) => {}
            (BreakerState::Recovering, OriginOutcome::Answered) => {
                self.answered = true;
                self.count(now, outcome);
                self.raise(now);
            }
            (BreakerState::Recovering | BreakerState::Closed, _) => self.count(now, outcome),
        }
    }

    /// How long one reader waits before a copy is given instead.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The state.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    fn count(&mut self, now: Instant, outcome: OriginOutcome) {
        if now.saturating_since(self.window_began) >= WINDOW {
            (self.seen, self.failed, self.window_began) = (0, 0, now);
        }
        self.seen = self.seen.saturating_add(1);
        if outcome == OriginOutcome::Answered {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.failed = self.failed.saturating_add(1);
        let is_half = self.seen >= TRIP_OF && self.failed * 2 >= self.seen;
        if self.in_a_row >= TRIP_IN_A_ROW || is_half {
            if self.state == BreakerState::Closed {
                self.probe_every = FIRST_PROBE;
            }
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = BreakerState::Open;
        self.next_probe = now + self.probe_every;
        (self.in_a_row, self.seen, self.failed) = (0, 0, 0);
    }

    fn begin_recovery(&mut self, now: Instant) {
        self.state = BreakerState::Recovering;
        (self.share, self.credit, self.raised) = (FIRST_SHARE, 0.0, now);
        // What it was like when it failed says nothing of how it is now.
        self.patience = self.config.patience;
        (self.in_a_row, self.seen, self.failed, self.window_began) = (0, 0, 0, now);
        self.answered = false;
    }

    /// More readers for each second in which the origin answered and did not fail.
    fn raise(&mut self, now: Instant) {
        if !self.answered || now.saturating_since(self.raised) < RAISE_EVERY {
            return;
        }
        (self.raised, self.answered) = (now, false);
        self.share *= RAISE_BY;
        if self.share >= 1.0 {
            self.state = BreakerState::Closed;
            self.probe_every = FIRST_PROBE;
            (self.in_a_row, self.seen, self.failed, self.window_began) = (0, 0, 0, now);
        }
    }

    fn adapt(&mut self, outcome: OriginOutcome) {
        let adapted = match outcome {
            OriginOutcome::TookTooLong => self.patience / 2,
            OriginOutcome::Answered => self.patience.mul_f32(1.05),
            OriginOutcome::Failed => self.patience,
        };
        self.patience = self.within(adapted);
    }

    fn within(&self, patience: Duration) -> Duration {
        let least = self.config.least_patience;
        patience.clamp(least, self.config.patience.max(least))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::vec::Vec;

    use seawall_model::Instant;

    use super::{Breaker, BreakerConfig, BreakerState, OriginOutcome, TRIP_IN_A_ROW};

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for _ in 0..TRIP_IN_A_ROW {
            breaker.note(at(1_000), OriginOutcome::Failed);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    #[test]
    fn a_few_failures_in_a_row_open_it_and_one_alone_does_not() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for turn in 0..100 {
            let outcome =
                if turn % 3 == 0 { OriginOutcome::Failed } else { OriginOutcome::Answered };
            breaker.note(at(turn * 10), outcome);
            assert!(breaker.asks_origin(at(turn * 10)), "a third may fail");
        }
        assert!(!opened().asks_origin(at(1_001)));
    }

    #[test]
    fn half_failing_opens_it_even_if_never_in_a_row() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        for turn in 0..20 {
            let outcome =
                if turn % 2 == 0 { OriginOutcome::Failed } else { OriginOutcome::Answered };
            assert_eq!(breaker.state(), BreakerState::Closed, "{turn}");
            breaker.note(at(turn * 10), outcome);
            if turn == 10 {
                break;
            }
        }
        assert_eq!(breaker.state(), BreakerState::Open, "the eleventh was the sixth to fail");
    }

    #[test]
    fn while_open_only_probes_go_less_and_less_often() {
        let mut breaker = opened();
        let (mut probes, mut asked) = (Vec::new(), 0);
        for millis in 1_000..61_000 {
            asked += u32::from(breaker.asks_origin(at(millis)));
            if breaker.takes_probe(at(millis)) {
                breaker.note(at(millis), OriginOutcome::Failed);
                probes.push(millis);
            }
        }
        assert_eq!(asked, 0);
        assert_eq!(&probes[..4], &[2_000, 4_000, 8_000, 16_000]);
        assert!(probes.len() <= 9, "{probes:?}: every ten seconds in the end");
    }

    #[test]
    fn readers_come_back_slowly_and_all_of_them_in_the_end() {
        let mut breaker = opened();
        assert!(breaker.takes_probe(at(2_000)));
        breaker.note(at(2_000), OriginOutcome::Answered);
        let mut by_second = Vec::new();
        for second in 2..12u64 {
            let mut asked = 0;
            for turn in 0..100 {
                let now = at(second * 1_000 + turn * 10);
                if breaker.asks_origin(now) {
                    asked += 1;
                    breaker.note(now, OriginOutcome::Answered);
                }
            }
            by_second.push(asked);
        }
        assert!((9..=11).contains(&by_second[0]), "{by_second:?}");
        assert!(by_second.is_sorted(), "{by_second:?}");
        assert_eq!(by_second.last(), Some(&100), "{by_second:?}");
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn failures_while_recovering_open_it_again_and_one_alone_does_not() {
        let mut breaker = opened();
        breaker.note(at(2_000), OriginOutcome::Answered);
        assert_eq!(breaker.state(), BreakerState::Recovering);
        breaker.note(at(2_100), OriginOutcome::Failed);
        assert_eq!(breaker.state(), BreakerState::Recovering);
        breaker.note(at(2_110), OriginOutcome::Failed);
        breaker.note(at(2_120), OriginOutcome::TookTooLong);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.asks_origin(at(2_200)));
    }

    #[test]
    fn where_nobody_probes_a_reader_does_in_the_end() {
        let mut breaker = opened();
        let asked = (1_000..62_000).step_by(10).filter(|ms| breaker.asks_origin(at(*ms))).count();
        assert!((1..=2).contains(&asked), "{asked} in a minute");
    }

    #[test]
    fn patience_comes_down_with_time_outs_and_back_with_answers() {
        let mut breaker = Breaker::new(BreakerConfig::default());
        assert_eq!(breaker.patience(), Duration::from_secs(2));
        for _ in 0..10 {
            breaker.note(at(1_000), OriginOutcome::TookTooLong);
        }
        assert_eq!(breaker.patience(), Duration::from_millis(300));
        for _ in 0..100 {
            breaker.note(at(2_000), OriginOutcome::Answered);
        }
        assert_eq!(breaker.patience(), Duration::from_secs(2));
    }

    #[test]
    fn a_clock_that_steps_back_neither_opens_nor_closes_it() {
        let mut breaker = opened();
        assert!(!breaker.asks_origin(at(0)) && !breaker.takes_probe(at(0)));
        let mut closed = Breaker::new(BreakerConfig::default());
        closed.note(at(5_000), OriginOutcome::Answered);
        closed.note(at(1), OriginOutcome::Failed);
        assert!(closed.asks_origin(at(1)));
    }

    #[test]
    fn settings_that_contradict_each_other_are_taken_as_well_as_can_be() {
        let config = BreakerConfig {
            patience: Duration::from_millis(100),
            least_patience: Duration::from_millis(300),
        };
        let mut breaker = Breaker::new(config);
        breaker.note(at(1), OriginOutcome::TookTooLong);
        assert_eq!(breaker.patience(), Duration::from_millis(300));
    }
}
