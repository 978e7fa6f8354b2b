//! Crowd or attack: nine weak signs over the traffic that is too much, each bounded, in one sum of log-odds.
//!
//! Signal: how the excess looks, behaves and began. Trip: above +3 nats it is a crowd, below −3 an attack,
//! and in between neither can be said. Cold start: what is not known has no vote, and what few
//! clients tell has a small one. Tie-break: no crowd is called one before somebody was watched for as
//! long as a page takes to load, or pages beyond the ordinary have brought what they load. Blind spots: robots that load
//! whole pages at readers' pace from readers' browsers, and robots at a few addresses that load what pages load at any
//! pace; they pass for a crowd, and are dealt with as one: by waiting their turn.
//!
//! *Source:* detection.md §4, which has the weights; Jung, Krishnamurthy and Rabinovich 2002; Kandula et
//! al. 2005 (Kill-Bots).

use crate::finding::Verdict;

/// What a sign says, and how sure it is: 0 (nothing known) to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sign {
    /// What was measured.
    pub(crate) value: f64,
    /// How much it counts.
    pub(crate) sure: f64,
}

impl Sign {
    /// Of a share or a mean of `count` things. Of ten, half as sure as of very many.
    pub(crate) fn of(value: f64, count: f64) -> Self {
        Self { value, sure: if count > 0.0 { count / (count + 10.0) } else { 0.0 } }
    }

    /// As sure as `sure`, and this.
    pub(crate) fn times(self, sure: f64) -> Self {
        Self { sure: self.sure * sure.clamp(0.0, 1.0), ..self }
    }

    /// From +1 at `crowd` to −1 at `attack`, as far as it is sure.
    fn vote(self, crowd: f64, attack: f64) -> f64 {
        let middle = f64::midpoint(crowd, attack);
        let half = (crowd - attack) / 2.0;
        self.sure * ((self.value - middle) / half).clamp(-1.0, 1.0)
    }
}

/// Which pages are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Targets {
    /// Share of the most frequent.
    pub(crate) first: f64,
    /// Share of the five most frequent.
    pub(crate) five: f64,
    /// How many different ones, for each request.
    pub(crate) different: f64,
    /// Whether most of it can be shared.
    pub(crate) is_cacheable: bool,
    /// How much it counts.
    pub(crate) sure: f64,
}

/// Where they say that they come from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Referrers {
    /// Share with another site.
    pub(crate) other: f64,
    /// Of those, share of the three most frequent.
    pub(crate) three: f64,
    /// How much it counts.
    pub(crate) sure: f64,
}

/// All that speaks for one or the other. What is not known is [`Default`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    /// Divergence of the excess from the ordinary in what clients are (JA4, field order, HTTP/2), in bits.
    pub(crate) divergence: Sign,
    /// Share of clients that load what belongs to their pages.
    pub(crate) whole_pages: Sign,
    /// What pages load, beside as many pages of the ordinary: also of who is too many behind a few addresses, of
    /// whom nobody is new. It speaks for a crowd or not at all: crawlers load none of it.
    pub(crate) parts: Sign,
    /// Share of what can be shared.
    pub(crate) cacheable: Sign,
    /// Pages a minute for each client, in units of what one in twenty ordinarily exceeds.
    pub(crate) pace: Sign,
    /// Deviation of the pace over its mean.
    pub(crate) unevenness: Sign,
    /// What is asked for.
    pub(crate) targets: Targets,
    /// Seconds from a tenth to eight tenths of the most.
    pub(crate) onset_s: Sign,
    /// Referrers.
    pub(crate) referrers: Referrers,
    /// Share of clients that bring back a cookie.
    pub(crate) cookies: Sign,
    /// Share of cheap tests passed.
    pub(crate) tests: Sign,
}

/// Beyond this it is one or the other, in nats.
pub(crate) const SURE: f64 = 3.0;

impl Evidence {
    /// Crowd above 0, attack below.
    pub(crate) fn log_odds(&self) -> f64 {
        self.votes().iter().sum()
    }

    /// What it is.
    pub(crate) fn verdict(&self) -> Verdict {
        let log_odds = self.log_odds();
        let is_watched =
            self.whole_pages.sure > 0.3 || self.tests.sure > 0.3 || self.parts.vote(0.6, 0.1) > 0.3;
        if log_odds > SURE && is_watched {
            Verdict::Crowd
        } else if log_odds < -SURE {
            Verdict::Attack
        } else {
            Verdict::Mixed
        }
    }

    /// The nine signs, weighed.
    fn votes(&self) -> [f64; 9] {
        [
            3.0 * self.divergence.vote(0.1, 0.3),
            3.0 * self.whole_pages_vote(),
            2.0 * self.cacheable.vote(0.8, 0.3),
            2.0 * self.pace_vote(),
            1.5 * self.targets.vote(),
            1.5 * self.onset_s.vote(20.0, 3.0),
            self.referrers.vote(),
            2.0 * self.cookies.vote(0.8, 0.2),
            4.0 * self.tests.vote(0.7, 0.05),
        ]
    }

    fn whole_pages_vote(&self) -> f64 {
        let of_clients = self.whole_pages.vote(0.6, 0.1);
        of_clients + (1.0 - self.whole_pages.sure) * self.parts.vote(0.6, 0.1).max(0.0)
    }

    fn pace_vote(&self) -> f64 {
        let is_even = self.unevenness.sure > 0.0 && self.unevenness.value < 0.3;
        if is_even { -self.unevenness.sure } else { self.pace.vote(1.0, 3.0) }
    }
}

impl Targets {
    fn vote(&self) -> f64 {
        let is_random = self.different > 0.8;
        let is_one_that_costs = self.first > 0.9 && !self.is_cacheable;
        if is_random || is_one_that_costs {
            -self.sure
        } else if self.first < 0.95 && self.five > 0.3 {
            self.sure
        } else {
            0.0
        }
    }
}

impl Referrers {
    fn vote(&self) -> f64 {
        let is_absent = self.other < 0.02;
        let is_random = self.other > 0.1 && self.three < 0.3;
        if is_absent || is_random {
            -self.sure
        } else if self.three > 0.5 {
            self.sure
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sure(value: f64) -> Sign {
        Sign { value, sure: 1.0 }
    }

    fn crowd() -> Evidence {
        Evidence {
            divergence: sure(0.05),
            whole_pages: sure(0.8),
            cacheable: sure(0.95),
            pace: sure(0.7),
            targets: Targets {
                first: 0.6,
                five: 0.7,
                different: 0.2,
                is_cacheable: true,
                sure: 1.0,
            },
            onset_s: sure(30.0),
            referrers: Referrers { other: 0.5, three: 0.9, sure: 1.0 },
            cookies: sure(0.9),
            ..Evidence::default()
        }
    }

    fn flood() -> Evidence {
        Evidence {
            divergence: sure(0.7),
            whole_pages: sure(0.0),
            parts: sure(0.0),
            cacheable: sure(0.0),
            pace: sure(20.0),
            unevenness: sure(0.05),
            targets: Targets {
                first: 0.01,
                five: 0.03,
                different: 1.0,
                is_cacheable: false,
                sure: 1.0,
            },
            onset_s: sure(1.0),
            referrers: Referrers { other: 0.0, three: 0.0, sure: 1.0 },
            cookies: sure(0.0),
            tests: Sign::default(),
        }
    }

    #[test]
    fn nothing_known_is_neither() {
        assert_eq!(Evidence::default().verdict(), Verdict::Mixed);
        assert!(Evidence::default().log_odds().abs() < 1e-9);
    }

    #[test]
    fn the_news_is_a_crowd_and_a_flood_an_attack() {
        assert_eq!(crowd().verdict(), Verdict::Crowd);
        assert_eq!(flood().verdict(), Verdict::Attack);
    }

    #[test]
    fn no_single_sign_decides() {
        for one in 0..9 {
            assert!(flood().votes()[one].abs() <= 4.0);
        }
        let forged = Evidence { referrers: crowd().referrers, ..flood() };
        let slow = Evidence { onset_s: sure(60.0), ..flood() };
        let looks = Evidence { divergence: sure(0.0), ..flood() };
        for evidence in [forged, slow, looks] {
            assert_eq!(evidence.verdict(), Verdict::Attack, "{evidence:?}");
        }
    }

    #[test]
    fn a_crowd_is_called_one_only_after_it_was_watched() {
        let early = Evidence { whole_pages: Sign::default(), ..crowd() };
        assert!(early.log_odds() > SURE);
        assert_eq!(early.verdict(), Verdict::Mixed);
    }

    #[test]
    fn what_pages_load_speaks_for_a_crowd_behind_few_addresses_and_never_against_one() {
        let behind_few = Evidence { whole_pages: Sign::default(), ..crowd() };
        let loads = |value| Evidence { parts: sure(value), ..behind_few };
        assert_eq!(loads(1.0).verdict(), Verdict::Crowd);
        assert!((loads(0.0).log_odds() - behind_few.log_odds()).abs() < 1e-9);
        // Of clients who are new it adds nothing to what they were seen to do.
        let seen = Evidence { parts: sure(1.0), ..flood() };
        assert!((seen.log_odds() - flood().log_odds()).abs() < 1e-9);
    }

    #[test]
    fn tests_passed_or_not_outweigh_what_can_be_forged() {
        let passed = Evidence { tests: sure(0.9), divergence: sure(0.2), ..Evidence::default() };
        let failed = Evidence { tests: sure(0.0), divergence: sure(0.2), ..Evidence::default() };
        assert_eq!((passed.verdict(), failed.verdict()), (Verdict::Crowd, Verdict::Attack));
    }

    #[test]
    fn few_clients_have_a_small_vote() {
        let few = Evidence { whole_pages: Sign::of(0.0, 1.0), ..Evidence::default() };
        let many = Evidence { whole_pages: Sign::of(0.0, 500.0), ..Evidence::default() };
        assert!(few.log_odds() > -0.5 && many.log_odds() < -2.5);
    }
}
