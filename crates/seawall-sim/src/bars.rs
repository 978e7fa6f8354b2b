//! What was promised, held against what came to pass.
//!
//! Times are percentiles over seeds; rates are pooled over seeds for each cohort. Bars are those of
//! detection.md §8 and its amendments; how they are read where they leave it open is in docs/evaluation.md, and what is
//! missed is said ([`crate::misses`]).

use std::time::Duration;

use seawall_model::{Cause, Instant, Rung};

use crate::attacks::{Attack, Class, Special};
use crate::benign::Benign;
use crate::cohorts::{COHORTS, Cohort, Manners};
use crate::record::{Phase, Record, ViewRecord, Want};
use crate::scenario::Scenario;

mod times;

/// How a value relates to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Met.
    Met,
    /// Not met.
    Missed,
    /// Not met, but of so few transactions that chance may have done it (95 %).
    TooFew,
    /// No bar; for information.
    Told,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is measured, the same name always.
    pub what: String,
    /// The bar in words.
    pub bar: String,
    /// What came out.
    pub value: String,
    /// How it relates.
    pub verdict: Verdict,
    /// The seed that did worst; `None` if all did alike, because nothing failed in any.
    pub worst_seed: Option<u64>,
}

/// When, whether it is an alarm, whether there is no incident, its name.
type StateChange = (Instant, bool, bool, String);

/// One run and its seed.
#[derive(Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What came to pass.
    pub record: Record,
}

/// Successes of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    of: u64,
    good: u64,
}

/// The same of all seeds, and the one with most failures; `None` if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pooled {
    all: Tally,
    worst: Option<u64>,
}

impl Tally {
    fn note(&mut self, is_good: bool) {
        self.of += 1;
        self.good += u64::from(is_good);
    }

    fn rate(self) -> f64 {
        if self.of == 0 { 1.0 } else { self.good as f64 / self.of as f64 }
    }

    /// Whether that many failures are more than chance explains if the true rate were `bar` (one-sided, 95 %; with
    /// no failure allowed at all, any is).
    fn is_below(self, bar: f64) -> bool {
        let (of, failed) = (self.of as f64, (self.of - self.good) as f64);
        let expected = of * (1.0 - bar);
        if self.good < self.of && expected < EXACT_BELOW {
            return self.chance_of_failures(1.0 - bar) < 0.05;
        }
        // Normal approximation with continuity.
        failed - 0.5 > expected + 1.645 * (expected * bar).sqrt()
    }

    /// How likely as many failures are, or more, if each fails with this probability: the binomial distribution.
    fn chance_of_failures(self, fails: f64) -> f64 {
        let mut exactly = libm::pow(1.0 - fails, self.of as f64);
        let mut fewer = 0.0;
        for failed in 0..self.of - self.good {
            fewer += exactly;
            exactly *= (self.of - failed) as f64 / (failed + 1) as f64 * fails / (1.0 - fails);
        }
        1.0 - fewer
    }
}

/// With so few failures to be expected the normal approximation is not good enough: one of six is no proof that one of
/// a hundred is exceeded.
const EXACT_BELOW: f64 = 20.0;
/// Pooled rates need so many transactions (rule of three at 99.9 %).
const ENOUGH: u64 = 3_000;
/// From when rates count: by then a signature is to be found (time to mitigate, 95th percentile).
const SETTLED: Duration = Duration::from_secs(6);
/// The same where there is none to be found.
const SETTLED_MIMICRY: Duration = Duration::from_secs(10);
/// The part of views that no measure may block.
const NOT_BLOCKED: f64 = 0.999;
/// Until when it is to be as before.
const NORMAL_AGAIN_S: f64 = 90.0;
/// Memory that traffic can make grow: tables of the gates and all detection state.
const MAX_BYTES: usize = 96 << 20;

/// What the shield knew of the site when a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Its ordinary traffic, as far as there is a lesson of it.
    Loaded,
    /// Nothing: there no signature may block, whatever it is sure of (detection.md, amendment 2).
    Empty,
}

/// The table of one scenario.
pub fn judge(scenario: Scenario, runs: &[Run], baseline: Baseline) -> Vec<Row> {
    let mut table = Table { runs, rows: Vec::new(), is_with_signature: false };
    match scenario {
        Scenario::Attack(attack) => table.attack(attack),
        Scenario::Benign(benign) => table.benign(benign),
        Scenario::Days(_) | Scenario::Ordinary => table.ordinary(),
    }
    if baseline == Baseline::Empty || scenario.is_of_small_site() {
        table.none("blocks by a signature", |run| run.record.met_block as usize);
    }
    table.safety();
    table.rows
}

struct Table<'a> {
    runs: &'a [Run],
    rows: Vec<Row>,
    /// Whether views count only from when there has to be a signature for the pulse that they are in.
    is_with_signature: bool,
}

impl Table<'_> {
    fn row(
        &mut self,
        what: &str,
        bar: String,
        value: String,
        verdict: Verdict,
        worst: Option<u64>,
    ) {
        let what = what.to_owned();
        self.rows.push(Row { what, bar, value, verdict, worst_seed: worst });
    }

    fn attack(&mut self, attack: &Attack) {
        let (mut detected, mut lenience) = ((1.0, 2.0), 0.0);
        for special in attack.special {
            match special {
                Special::DetectedIn(median, most) => detected = (*median, *most),
                Special::Lenience(by) => lenience = *by,
                _ => {}
            }
        }
        let is_mimicry = attack.class == Class::Mimicry;
        if is_mimicry {
            // Who cannot be told from readers is noticed as a crowd as well, and rationed like one; and of
            // newcomers who share the origin with it not all are promised to be served.
            self.times("time to detect", Some(detected), times::to_notice);
            self.times("taken for more than a crowd", None, times::to_detect);
            let within_s = SETTLED_MIMICRY.as_secs_f64();
            let bar = Some((within_s, within_s));
            self.times("time to mitigate", bar, times::to_mitigate_mimicry);
            self.times("99 % of all views good", None, times::to_mitigate);
        } else {
            self.times("time to detect", Some(detected), times::to_detect);
            self.times("time to mitigate", Some((3.0, 6.0)), times::to_mitigate);
        }
        let settled = if is_mimicry { SETTLED_MIMICRY } else { SETTLED };
        self.goodput("cacheable", 0.999 - lenience, settled, |view| view.want == Want::Cacheable);
        self.goodput("cacheable from the first moment", 0.99 - lenience, Duration::ZERO, |view| {
            view.want == Want::Cacheable
        });
        let (known, newcomers) =
            if is_mimicry { (times::MIMICRY_KNOWN, times::MIMICRY_NEW) } else { (0.99, 0.99) };
        if let crate::attacks::Timing::Pulse(..) = attack.timing {
            // Bars of dynamic pages hold once a signature exists, and each pulse may be another attack.
            for (of, want) in
                [("known readers", Want::DynamicKnown), ("newcomers", Want::DynamicNew)]
            {
                let name = format!("dynamic, {of}, pulses from their beginning");
                self.goodput(&name, 0.0, settled, |view| view.want == want);
            }
            self.is_with_signature = true;
        }
        self.goodput("dynamic, known readers", known - lenience, settled, |view| {
            view.want == Want::DynamicKnown
        });
        self.goodput("dynamic, newcomers", newcomers - lenience, settled, |view| {
            view.want == Want::DynamicNew
        });
        self.is_with_signature = false;
        self.collateral(settled);
        if attack.class != Class::Connections {
            self.reach(if is_mimicry { 0.10 } else { 0.01 }, settled);
            self.origin_p95(settled);
            self.signatures(settled);
        }
        for special in attack.special {
            self.special(special, settled);
        }
        if attack.waves.len() > 1 && attack.timing != crate::attacks::Timing::Steady {
            self.waves();
        }
        self.normal_again(times::normal_after_attack);
    }

    fn special(&mut self, special: &Special, settled: Duration) {
        match special {
            Special::DetectedIn(..) | Special::Lenience(_) => {}
            Special::OriginWork(most) => {
                // Requests and not their cost: one dear search in ten seconds of calm would tip it.
                let rate = |runs: &[Run], phase, skip| {
                    let seconds = runs.iter().flat_map(|run| run.record.seconds_of(phase, skip));
                    let (count, sum) =
                        seconds.fold((0, 0), |(count, sum), one| (count + 1, sum + one.fetched));
                    sum as f64 / f64::from(count).max(1.0)
                };
                let times = |runs: &[Run]| {
                    let calm = rate(runs, Phase::Calm, 0).max(1e-9);
                    rate(runs, Phase::Event, settled.as_secs()) / calm
                };
                let value = times(self.runs);
                let worst = self.worst_run(|run| times(std::slice::from_ref(run)));
                let verdict = if value <= *most { Verdict::Met } else { Verdict::Missed };
                let bar = format!("<= {most:.2} times before");
                let value = format!("{value:.2} times");
                self.row("requests to the origin", bar, value, verdict, worst);
            }
            Special::AgedConnections(least) => {
                let pooled = self.pooled(|run| {
                    let mut tally = Tally::default();
                    for second in run.record.seconds_of(Phase::Event, settled.as_secs()) {
                        tally.of += second.aged_connections;
                        tally.good += second.aged_connections - second.aged_refused;
                    }
                    tally
                });
                self.rate_row("connections of aged readers", pooled, *least);
            }
            Special::CgnatHarm(most) => {
                let harmed =
                    |view: &ViewRecord| view.met >= Some(Rung::Challenge) || view.is_challenged;
                let tally = self.tally(settled, |view| view.is_shared, |view| !harmed(view));
                self.rate_row("unharmed behind shared addresses", tally, 1.0 - most);
            }
            Special::TorGoodput(least) => {
                let is_tor = |view: &ViewRecord| view.cohort == Cohort::Tor;
                let tally = self.tally(settled, is_tor, |view| view.is_good);
                self.rate_row("readers through Tor", tally, *least);
            }
            Special::NoTorBlock => {
                // Two things: that readers there are blocked no more than others may be, and that no measure
                // means them, which a short one could without many views being lost.
                let is_tor = |view: &ViewRecord| view.cohort == Cohort::Tor;
                let unblocked = |view: &ViewRecord| view.met != Some(Rung::Block);
                let tally = self.tally(settled, is_tor, unblocked);
                self.rate_row("not blocked: tor", tally, NOT_BLOCKED);
                self.none("blocks of Tor alone", |run| {
                    run.record.blocks.values().filter(|block| block.is_of_tor()).count()
                });
            }
        }
    }

    fn benign(&mut self, benign: &Benign) {
        let bars = benign.bars;
        self.goodput("cacheable", bars.cacheable, Duration::ZERO, |view| {
            view.want == Want::Cacheable && view.cohort != Cohort::Editors
        });
        self.goodput("dynamic, known readers", 0.0, Duration::ZERO, |view| {
            view.want == Want::DynamicKnown
        });
        self.goodput("dynamic, newcomers", 0.0, Duration::ZERO, |view| {
            view.want == Want::DynamicNew
        });
        if let Some(tor) = bars.tor {
            let is_tor = |view: &ViewRecord| view.cohort == Cohort::Tor;
            let tally = self.tally(Duration::ZERO, is_tor, |view| view.is_good);
            self.rate_row("readers through Tor", tally, tor);
        }
        let challenged = self.tally(Duration::ZERO, |_| true, |view| !view.is_challenged);
        self.rate_row("not challenged", challenged, 1.0 - bars.challenged);
        self.sent_around(Duration::ZERO);
        let crawlers = self.runs.iter().flat_map(|run| &run.record.crawlers);
        let verified: Vec<_> = crawlers.filter(|one| one.is_verified).collect();
        self.none("blocks of readers, editors, verified crawlers", |run| {
            let views = event_views(run, Duration::ZERO);
            let readers = views.filter(|view| view.met == Some(Rung::Block)).count();
            let crawlers = run.record.crawlers.iter().filter(|one| one.is_verified);
            readers + crawlers.map(|one| one.blocked as usize).sum::<usize>()
        });
        if !verified.is_empty() {
            let refused: u64 = verified.iter().map(|one| one.asked - one.got).sum();
            let asked: u64 = verified.iter().map(|one| one.asked).sum();
            let told = format!("{refused} of {asked}");
            self.row("verified crawlers put off", String::new(), told, Verdict::Told, None);
            self.none("unknown crawlers that got nothing", |run| {
                let unknown = run.record.crawlers.iter().filter(|one| !one.is_verified);
                unknown.filter(|one| one.got == 0).count()
            });
        }
        if bars.no_rate_limit {
            let is_budget =
                |view: &&ViewRecord| view.refused.is_some_and(|why| BUDGETS.contains(&why));
            self.none("readers refused by a budget", |run| {
                event_views(run, Duration::ZERO).filter(is_budget).count()
            });
        }
        if bars.no_failure {
            let is_failed = |view: &&ViewRecord| view.cohort == Cohort::Editors && !view.is_good;
            self.none("editors' failures", |run| {
                event_views(run, Duration::ZERO).filter(is_failed).count()
            });
        }
        let is_alarmed = |run: &Run| usize::from(times::alarm_at(&run.record).is_some());
        if bars.no_alarm {
            self.none("alarms", is_alarmed);
        } else {
            let alarms: usize = self.runs.iter().map(is_alarmed).sum();
            let told = format!("{alarms} of {} seeds", self.runs.len());
            self.row("alarms (mixed or attack)", String::new(), told, Verdict::Told, None);
        }
        self.times("normal since the last set out", None, times::normal_after_attack);
        self.normal_again(times::normal_after_surge);
    }

    fn ordinary(&mut self) {
        let times = |record: &Record, name: &str| {
            let states = &record.states;
            let began =
                |pair: &&[StateChange]| pair[1].3.starts_with(name) && !pair[0].3.starts_with(name);
            states.windows(2).filter(began).count() as f64
        };
        let (most, worst) = self.worst(|record| times(record, "attack"));
        let verdict = if most <= 1.0 { Verdict::Met } else { Verdict::Missed };
        self.row("taken for an attack", "<= 1".into(), most.to_string(), verdict, Some(worst));
        for (what, name) in [("neither known as one nor as none", "mixed"), ("crowds", "crowd")] {
            let (most, worst) = self.worst(|record| times(record, name));
            self.row(what, String::new(), most.to_string(), Verdict::Told, Some(worst));
        }
        let strict = |run: &Run| {
            let from = run.record.from;
            let all = run.record.measures.iter().filter(|(_, said)| !said.starts_with("demote"));
            all.map(|(at, said)| {
                let after = seconds(at.saturating_since(from).as_secs_f64());
                format!("after {after} {said}")
            })
            .collect::<Vec<_>>()
        };
        self.none("measures that test or refuse", |run| strict(run).len());
        // A month takes an hour: which they were is told without another one.
        let told: Vec<String> = self.runs.iter().flat_map(strict).take(MOST_TOLD).collect();
        if let (Some(row), false) = (self.rows.last_mut(), told.is_empty()) {
            row.value = format!("{}: {}", row.value, told.join("; "));
        }
    }

    /// The views of a run that count.
    fn views_of<'a>(
        &self,
        run: &'a Run,
        skip: Duration,
    ) -> impl Iterator<Item = &'a ViewRecord> + use<'a> {
        let is_late = self.is_with_signature;
        event_views(run, skip)
            .filter(move |view| !(is_late && times::is_before_signature(&run.record, view.began)))
    }

    fn tally(
        &self,
        skip: Duration,
        of: impl Fn(&ViewRecord) -> bool,
        is_good: impl Fn(&ViewRecord) -> bool,
    ) -> Pooled {
        self.pooled(|run| {
            let mut tally = Tally::default();
            let views = self.views_of(run, skip).filter(|view| of(view));
            views.for_each(|view| tally.note(is_good(view)));
            tally
        })
    }

    fn pooled(&self, of: impl Fn(&Run) -> Tally) -> Pooled {
        let (mut pooled, mut most) = (Pooled::default(), 0);
        for run in self.runs {
            let own = of(run);
            pooled.all.of += own.of;
            pooled.all.good += own.good;
            if own.of - own.good > most {
                (most, pooled.worst) = (own.of - own.good, Some(run.seed));
            }
        }
        pooled
    }

    /// Goodput of all, and of each cohort; a bar of 0 is none.
    fn goodput(&mut self, name: &str, bar: f64, skip: Duration, of: impl Fn(&ViewRecord) -> bool) {
        let pooled = self.tally(skip, &of, |view| view.is_good);
        if bar > 0.0 {
            self.rate_row(name, pooled, bar);
        } else {
            let told = format!("{} of {}", percent(pooled.all.rate()), pooled.all.of);
            self.row(name, String::new(), told, Verdict::Told, pooled.worst);
            return;
        }
        // Every cohort is held to the same bar.
        for manners in &COHORTS {
            let is_own = |view: &ViewRecord| of(view) && view.cohort == manners.cohort;
            let pooled = self.tally(skip, is_own, |view| view.is_good);
            if pooled.all.rate() < bar {
                self.rate_row(&format!("{name}: {}", manners.name), pooled, bar);
            }
        }
    }

    fn rate_row(&mut self, what: &str, Pooled { all: tally, worst }: Pooled, bar: f64) {
        let verdict = if tally.rate() >= bar {
            Verdict::Met
        } else if tally.of < ENOUGH && !tally.is_below(bar) {
            Verdict::TooFew
        } else {
            Verdict::Missed
        };
        let value = format!("{} of {}", percent(tally.rate()), tally.of);
        self.row(what, format!(">= {}", percent(bar)), value, verdict, worst);
    }

    /// What there may be none of, in any run.
    fn none(&mut self, what: &str, count: impl Fn(&Run) -> usize) {
        let sum: usize = self.runs.iter().map(&count).sum();
        let worst = self.worst_run(|run| count(run) as f64).filter(|_| sum > 0);
        let verdict = if sum == 0 { Verdict::Met } else { Verdict::Missed };
        self.row(what, "0".to_owned(), sum.to_string(), verdict, worst);
    }

    /// A time for each seed, in seconds; infinite if it did not come to that.
    fn times(&mut self, what: &str, bars: Option<(f64, f64)>, of: fn(&Record) -> f64) {
        let mut all: Vec<(f64, u64)> =
            self.runs.iter().map(|run| (of(&run.record), run.seed)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let of = |percent| times::percentile(&all, percent).map_or(f64::INFINITY, |time| time.0);
        let (median, most, worst) = (of(50), of(95), of(100));
        let mut value = format!("p50 {}, p95 {}", seconds(median), seconds(most));
        if worst > most {
            value += &format!(", worst {}", seconds(worst));
        }
        let (bar, verdict) = match bars {
            None => (String::new(), Verdict::Told),
            Some((half, nearly)) => {
                let is_met = median <= half + 1e-9 && most <= nearly + 1e-9;
                let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
                (format!("p50 <= {half} s, p95 <= {nearly} s"), verdict)
            }
        };
        self.row(what, bar, value, verdict, all.last().map(|last| last.1));
    }

    /// The seed with the highest value; the first of those that have it.
    fn worst_run(&self, of: impl Fn(&Run) -> f64) -> Option<u64> {
        let all = self.runs.iter().rev().map(|run| (of(run), run.seed));
        all.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, seed)| seed)
    }

    /// The highest value over seeds, and its seed.
    fn worst(&self, of: impl Fn(&Record) -> f64) -> (f64, u64) {
        let all = self.runs.iter().map(|run| (of(&run.record), run.seed));
        all.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
    }

    fn collateral(&mut self, settled: Duration) {
        let is_blocked = |view: &ViewRecord| view.met == Some(Rung::Block);
        let blocked = self.tally(settled, |_| true, |view| !is_blocked(view));
        self.rate_row("not blocked", blocked, NOT_BLOCKED);
        let challenged = self.tally(settled, |_| true, |view| !view.is_challenged);
        self.rate_row("not challenged", challenged, 0.99);
        let unhit = |view: &ViewRecord| !is_blocked(view) && !view.is_challenged;
        let cohorts = self.by_cohort(settled, unhit);
        let all: u64 = cohorts.iter().map(|(_, pooled)| pooled.all.of - pooled.all.good).sum();
        let of: u64 = cohorts.iter().map(|(_, pooled)| pooled.all.of).sum();
        let mean = all as f64 / of.max(1) as f64;
        if let Some((cohort, Pooled { all: tally, worst })) = hardest(cohorts) {
            let share = 1.0 - tally.rate();
            // Where hardly anybody is hit at all, three times that is a view or two: the bar of who is blocked.
            let most = (3.0 * mean).max(0.001);
            let is_met = share <= most || !tally.is_below(1.0 - most);
            let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
            let value = format!("{}, {} of all", percent(share), percent(mean));
            let what = format!("hardest hit cohort: {}", cohort.name());
            self.row(&what, "<= 3 times the mean or 0.1 %".to_owned(), value, verdict, worst);
        }
        self.sent_around(settled);
        let delayed = self.tally(settled, |_| true, |view| view.waited_ms <= 2_000);
        let value = percent(1.0 - delayed.all.rate());
        self.row("delayed by more than 2 s", String::new(), value, Verdict::Told, delayed.worst);
    }

    fn by_cohort(
        &self,
        skip: Duration,
        is_good: impl Fn(&ViewRecord) -> bool,
    ) -> Vec<(Cohort, Pooled)> {
        let of = |manners: &Manners| {
            let cohort = manners.cohort;
            (cohort, self.tally(skip, |view| view.cohort == cohort, &is_good))
        };
        COHORTS.iter().map(of).filter(|(_, pooled)| pooled.all.of > 0).collect()
    }

    /// Nothing is told from who is sent around, who would have been refused; it is seen, and so it is told.
    fn sent_around(&mut self, skip: Duration) {
        let hardest = hardest(self.by_cohort(skip, |view| !view.is_sent_around));
        if let Some((cohort, pooled)) = hardest.filter(|(_, pooled)| pooled.worst.is_some()) {
            let what = format!("sent around, most of all {}", cohort.name());
            let value = percent(1.0 - pooled.all.rate());
            self.row(&what, String::new(), value, Verdict::Told, pooled.worst);
        }
    }

    fn reach(&mut self, most: f64, settled: Duration) {
        let reach = |record: &Record| {
            let (mut asked, mut fetched) = (0, 0);
            for second in record.seconds_of(Phase::Event, settled.as_secs()) {
                asked += second.hostile;
                fetched += second.hostile_fetched;
            }
            fetched as f64 / (asked as f64).max(1.0)
        };
        let all = self.runs.iter().map(|run| reach(&run.record)).sum::<f64>();
        let mean = all / self.runs.len().max(1) as f64;
        let (_, worst) = self.worst(reach);
        let verdict = if mean <= most { Verdict::Met } else { Verdict::Missed };
        let bar = format!("<= {}", percent(most));
        self.row("attack reaching the origin", bar, percent(mean), verdict, Some(worst));
    }

    fn origin_p95(&mut self, settled: Duration) {
        let (value, worst) = self.worst(|record| {
            let p95 = |from: Instant, until: Instant| {
                let mut took: Vec<f32> = record
                    .origin
                    .iter()
                    .filter(|(at, _)| (from..until).contains(at))
                    .map(|(_, took)| *took)
                    .collect();
                took.sort_by(f32::total_cmp);
                took.get(took.len() * 95 / 100).copied().map_or(1.0, f64::from)
            };
            let calm = p95(record.start + Duration::from_secs(10), record.from);
            p95(record.from + settled, record.until) / calm.max(1.0)
        });
        let verdict = if value <= 2.0 { Verdict::Met } else { Verdict::Missed };
        let value = format!("{value:.2} times");
        self.row("origin's p95", "<= 2 times before".to_owned(), value, verdict, Some(worst));
    }

    fn signatures(&mut self, settled: Duration) {
        let (mut met, mut hostile_met, mut hostile) = (0, 0, 0);
        for run in self.runs {
            for second in run.record.seconds_of(Phase::Event, settled.as_secs()) {
                met += second.legit_met + second.hostile_met;
                hostile_met += second.hostile_met;
                hostile += second.hostile;
            }
        }
        let part = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let precision = percent(part(hostile_met, met));
        let recall = percent(part(hostile_met, hostile));
        let value = format!("precision {precision}, recall {recall}");
        self.row("signatures", String::new(), value, Verdict::Told, None);
    }

    /// Pulses: how long until most of a wave is met, for waves that are new and that were there before.
    fn waves(&mut self) {
        type Times = Vec<(f64, u64)>;
        let (mut fresh, mut again): (Times, Times) = (Vec::new(), Vec::new());
        for run in self.runs {
            let mut seen = Vec::new();
            for (wave, met) in run.record.waves.iter().zip(&run.record.wave_met) {
                let took =
                    met.map_or(f64::INFINITY, |met| met.saturating_since(wave.0).as_secs_f64());
                let of_kind = if seen.contains(&wave.1) { &mut again } else { &mut fresh };
                of_kind.push((took, run.seed));
                seen.push(wave.1);
            }
        }
        for (what, mut all, bar) in [
            ("a new wave is met", fresh, times::NEW_WAVE_S),
            ("a repeated wave is met", again, times::REPEATED_WAVE_S),
        ] {
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let Some((at, _)) = times::percentile(&all, 95).copied() else { continue };
            let (worst, seed) = all.last().copied().unwrap_or_default();
            let verdict = if at <= bar { Verdict::Met } else { Verdict::Missed };
            let value = format!("{}, worst {}", seconds(at), seconds(worst));
            self.row(what, format!("p95 <= {bar} s"), value, verdict, Some(seed));
        }
    }

    fn normal_again(&mut self, since_end: fn(&Record) -> f64) {
        let bar = Some((NORMAL_AGAIN_S, NORMAL_AGAIN_S));
        self.times("normal again", bar, since_end);
        self.none("alarms after that", |run| times::alarms_after(&run.record));
        let after = self.pooled(|run| {
            let mut tally = Tally::default();
            let from = run.record.until + Duration::from_secs(10);
            let views = run.record.views.iter().filter(|view| view.began >= from);
            let held = views.filter(|view| view.want == Want::Cacheable);
            held.for_each(|view| tally.note(view.is_good));
            tally
        });
        self.rate_row("cacheable afterwards", after, 0.999);
    }

    fn safety(&mut self) {
        self.none("refusals of the allow list", |run| run.record.listed.refused as usize);
        let listed = self.pooled(|run| {
            let listed = run.record.listed;
            Tally { of: listed.asked, good: listed.asked - listed.put_off }
        });
        if listed.worst.is_some() {
            let value = format!("{} of {}", percent(1.0 - listed.all.rate()), listed.all.of);
            let what = "allow list, put off for want of the origin";
            self.row(what, String::new(), value, Verdict::Told, listed.worst);
        }
        self.none("refusals without a cause", |run| run.record.without_cause as usize);
        let is_harmed = |view: &&ViewRecord| view.is_verified && view.met >= Some(Rung::Challenge);
        self.none("verified crawlers challenged or blocked", |run| {
            run.record.views.iter().filter(is_harmed).count()
        });
        let (bytes, worst) = self.worst(|record| record.most_bytes as f64);
        let is_met = bytes <= MAX_BYTES as f64
            && self.runs.iter().all(|run| !run.record.over_queue && !run.record.over_measures);
        let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
        let value = format!("{:.1} MiB", bytes / f64::from(1 << 20));
        let bar = format!("<= {} MiB, queue and measures bounded", MAX_BYTES >> 20);
        self.row("memory", bar, value, verdict, Some(worst));
        debug_assert_eq!(COHORTS.len(), 7);
    }
}

/// Views that began during the event, without its first `skip`.
fn event_views(run: &Run, skip: Duration) -> impl Iterator<Item = &ViewRecord> {
    let record = &run.record;
    let during = record.from + skip..record.until;
    record.views.iter().filter(move |view| during.contains(&view.began))
}

/// Those of whom the greatest part failed.
fn hardest(cohorts: Vec<(Cohort, Pooled)>) -> Option<(Cohort, Pooled)> {
    let failed = |one: &(Cohort, Pooled)| 1.0 - one.1.all.rate();
    cohorts.into_iter().max_by(|a, b| failed(a).total_cmp(&failed(b)))
}

/// So many measures are named in a row.
const MOST_TOLD: usize = 5;

/// Refusals that a reader meets alone for asking often.
const BUDGETS: [Cause; 5] = [
    Cause::HeldBudget,
    Cause::OriginBudget,
    Cause::RouteBudget,
    Cause::TooManyConnectionsOfOne,
    Cause::TooManyConnectionsOfPrefix,
];

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn seconds(time: f64) -> String {
    if time.is_finite() { format!("{time:.2} s") } else { "never".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One run for each, with so many refusals that have no cause.
    fn runs(refused: &[u64]) -> Vec<Run> {
        let run = |(seed, refused): (usize, &u64)| {
            let record = Record { without_cause: *refused, ..Record::default() };
            Run { seed: seed as u64, record }
        };
        refused.iter().enumerate().map(run).collect()
    }

    #[track_caller]
    fn check_worst(refused: &[u64], want: Option<u64>) {
        let rows = judge(Scenario::Ordinary, &runs(refused), Baseline::Loaded);
        let row = rows.iter().find(|row| row.what == "refusals without a cause");
        let row = row.expect("it is in every table");
        assert_eq!(row.worst_seed, want);
        assert_eq!(row.verdict == Verdict::Met, want.is_none());
    }

    #[track_caller]
    fn check_below(of: u64, failed: u64, bar: f64, want: bool) {
        assert_eq!(Tally { of, good: of - failed }.is_below(bar), want, "{failed} of {of}");
    }

    #[test]
    fn few_failures_are_held_against_chance() {
        check_below(6, 1, 0.99, false);
        check_below(5, 1, 0.99, true);
        check_below(6, 2, 0.99, true);
        check_below(100, 0, 0.99, false);
        check_below(100, 3, 0.99, false);
        check_below(100, 4, 0.99, true);
        check_below(1_000, 1, 1.0, true);
        check_below(100_000, 150, 0.999, true);
        check_below(100_000, 110, 0.999, false);
    }

    #[test]
    fn where_nothing_is_known_no_signature_may_block() {
        let record = Record { met_block: 3, ..Record::default() };
        let runs = [Run { seed: 0, record }];
        let row = |baseline| {
            let rows = judge(Scenario::Ordinary, &runs, baseline);
            rows.into_iter().find(|row| row.what == "blocks by a signature")
        };
        assert!(row(Baseline::Empty).is_some_and(|row| row.verdict == Verdict::Missed));
        assert_eq!(row(Baseline::Loaded), None);
    }

    #[test]
    fn what_tests_readers_on_an_ordinary_day_is_named() {
        let at = |s| Instant::from_nanos(0) + Duration::from_secs(s);
        let measures = vec![
            (at(70), "demote #1 path template /news: covers 90 % of the excess".to_owned()),
            (at(72), "challenge #1 path template /news: covers 90 % of the excess".to_owned()),
        ];
        let record = Record { from: at(10), measures, ..Record::default() };
        let rows = judge(Scenario::Ordinary, &[Run { seed: 0, record }], Baseline::Loaded);
        let row = rows.iter().find(|row| row.what == "measures that test or refuse");
        let row = row.expect("it is in the table of an ordinary day");
        assert_eq!(row.verdict, Verdict::Missed);
        let want = "1: after 62.00 s challenge #1 path template /news: covers 90 % of the excess";
        assert_eq!(row.value, want);
    }

    #[test]
    fn the_worst_seed_is_told_if_one_is_worse() {
        check_worst(&[0, 0, 0], None);
        check_worst(&[0, 2, 1], Some(1));
        check_worst(&[0, 2, 2], Some(1));
    }
}
