//! Runs scenarios over seeds and prints the table. Started by `cargo xtask sim`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is to be read")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seawall_sim::{
    Baseline, Layers, MISSES, Record, Row, Run, Scenario, Schedule, Seawall, Site, Verdict, World,
    hold, judge,
};

struct Options {
    scenarios: Vec<Scenario>,
    seeds: Vec<u64>,
    scale: f64,
    json: bool,
    cold: bool,
    trace: bool,
    /// Nothing is run; what could be is named.
    list: bool,
    /// What `ci` runs: held against the list of known misses.
    check: bool,
    layers: Layers,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    if options.list {
        options.scenarios.iter().for_each(|scenario| println!("{}", heading(*scenario)));
        return ExitCode::SUCCESS;
    }
    let site = Arc::new(Site::new());
    let tasks: Vec<(usize, u64)> = (0..options.scenarios.len())
        .flat_map(|scenario| options.seeds.iter().map(move |seed| (scenario, *seed)))
        .collect();
    let lessons = teach(&options, &site);
    let results = Mutex::new(BTreeMap::new());
    each(&tasks, |&(place, seed)| {
        let scenario = options.scenarios[place];
        let schedule = Schedule::of(scenario, options.scale);
        let lesson = lessons.get(&(lesson_of(scenario), seed));
        let learned = lesson.filter(|_| !scenario.begins_cold());
        let learned = learned.map(|(_, bytes)| (bytes.as_slice(), schedule.wall));
        let shield = Seawall::new(Arc::clone(&site), options.layers, seed, learned);
        let world = World::new(scenario, schedule, Arc::clone(&site), Box::new(shield), seed);
        let (record, _) = world.run();
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        results.insert((place, seed), record);
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (mut is_good, mut wrong) = (true, too_short(&lessons));
    let mut tables = Vec::new();
    let baseline = if options.cold { Baseline::Empty } else { Baseline::Loaded };
    for (place, scenario) in options.scenarios.iter().enumerate() {
        let take = |seed: &u64| {
            let record = results.remove(&(place, *seed)).unwrap_or_default();
            Run { seed: *seed, record }
        };
        let runs: Vec<Run> = options.seeds.iter().map(take).collect();
        let rows = judge(*scenario, &runs, baseline);
        is_good &= rows.iter().all(|row| row.verdict != Verdict::Missed);
        wrong.extend(hold(MISSES, scenario.name(), &rows));
        if options.trace {
            runs.iter().for_each(|run| trace(run.seed, &run.record));
        }
        if options.json {
            tables.push(json(*scenario, &rows));
        } else {
            print(*scenario, &rows, runs.len());
        }
    }
    if options.json {
        println!("{}", serde_json::Value::from(tables));
    }
    if options.check {
        wrong.iter().for_each(|line| eprintln!("error: {line}"));
        is_good = wrong.is_empty();
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many clients are known and what was learned, by [`lesson_of`] and seed.
type Lessons = BTreeMap<(&'static str, u64), (u32, Vec<u8>)>;

/// Lets a shield see ordinary traffic, once for each seed, and with the attacker among it where that
/// is what is tried.
fn teach(options: &Options, site: &Arc<Site>) -> Lessons {
    if options.cold || !options.layers.signatures {
        return BTreeMap::new();
    }
    let mut wanted: Vec<(&'static str, u64)> = options
        .scenarios
        .iter()
        .filter(|scenario| !scenario.begins_cold())
        .flat_map(|scenario| options.seeds.iter().map(|seed| (lesson_of(*scenario), *seed)))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let lessons = Mutex::new(BTreeMap::new());
    each(&wanted, |&(name, seed)| {
        let scenario = Scenario::named(name).unwrap_or(Scenario::Ordinary);
        let schedule = Schedule::lesson(scenario, options.scale);
        let shield = Seawall::new(Arc::clone(site), options.layers, seed, None);
        let world =
            World::new(scenario, schedule, Arc::clone(site), Box::new(shield), seed ^ 0xabc);
        let (_, shield) = world.run();
        let mut lessons = lessons.lock().unwrap_or_else(PoisonError::into_inner);
        lessons.insert((name, seed), (shield.status().known_clients, shield.learned()));
    });
    lessons.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What every loaded baseline has to know: as many clients as a block asks for.
const KNOWN_CLIENTS: u32 = 3_000;

/// Lessons of which too little was learned to try what is promised of a site that knows its readers. Not those with
/// an attacker among the readers: how much is learned of them is what is tried.
fn too_short(lessons: &Lessons) -> Vec<String> {
    let few = lessons.iter().filter(|((name, _), _)| name.is_empty());
    let few = few.filter(|(_, (known, _))| *known < KNOWN_CLIENTS);
    few.map(|((name, seed), (known, _))| {
        format!("{name}: seed {seed} begins with {known} clients known, and not {KNOWN_CLIENTS}")
    })
    .collect()
}

/// What a scenario's baseline is made of.
fn lesson_of(scenario: Scenario) -> &'static str {
    if scenario.has_own_lesson() { scenario.name() } else { "" }
}

/// Does `work` for all, on as many threads as there are cores.
fn each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(all.len()) {
            scope.spawn(|| {
                while let Some(task) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(task);
                }
            });
        }
    });
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        scenarios: Scenario::all().collect(),
        seeds: (0..20).collect(),
        scale: 1.0,
        json: false,
        cold: false,
        trace: false,
        list: false,
        check: false,
        layers: Layers::ALL,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--scenario" => {
                let value = value()?;
                let named = value.split(',').map(|name| {
                    Scenario::named(name).ok_or(format!("there is no scenario `{name}`"))
                });
                options.scenarios = named.collect::<Result<_, _>>()?;
            }
            "--seed" => options.seeds = vec![number(&value()?)?],
            "--seeds" => options.seeds = seeds(&value()?)?,
            "--scale" => {
                let value = value()?;
                let scale = value.parse().ok().filter(|scale| (0.01..=1.0).contains(scale));
                options.scale =
                    scale.ok_or(format!("`--scale {value}` is not between 0.01 and 1"))?;
            }
            "--without" => {
                let value = value()?;
                options.layers = Layers::without(&value).ok_or(format!(
                    "`--without {value}`: it is cache, admission, signatures, challenge or all"
                ))?;
            }
            "--json" => options.json = true,
            "--cold" => options.cold = true,
            "--trace" => options.trace = true,
            "--list" => options.list = true,
            "--check" => {
                options.check = true;
                (options.scale, options.seeds) = (CHECKED_SCALE, vec![0]);
                // Two days have to be lived through for it.
                options.scenarios.retain(|scenario| scenario.name() != "B4");
            }
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    Ok(options)
}

/// A quarter of the time of a full run.
const CHECKED_SCALE: f64 = 0.25;

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// `20`: the first twenty; `20..40`: the twenty after them, which nobody may have looked at before.
fn seeds(text: &str) -> Result<Vec<u64>, String> {
    let (from, until) = match text.split_once("..") {
        Some((from, until)) => (number(from)?, number(until)?),
        None => (0, number(text)?),
    };
    if from >= until {
        return Err(format!("`--seeds {text}` are none; say `20`, or `20..40` for 20 to 39"));
    }
    Ok((from..until).collect())
}

/// What a scenario is, and how able the attacker.
fn heading(scenario: Scenario) -> String {
    let tiers: Vec<&str> = scenario.tiers().iter().map(|tier| tier.name()).collect();
    let tiers = if tiers.is_empty() { String::new() } else { format!(" ({})", tiers.join(", ")) };
    format!("{} {}{tiers}", scenario.name(), scenario.title())
}

fn print(scenario: Scenario, rows: &[Row], seeds: usize) {
    println!("\n{}", heading(scenario));
    for row in rows {
        let word = word(row.verdict);
        // Of one seed it says nothing.
        let worst = row.worst_seed.filter(|_| seeds > 1);
        let worst = worst.map_or_else(String::new, |seed| format!("  (worst: --seed {seed})"));
        println!("  {word:<6} {:<46} {:<32} {}{worst}", row.what, row.value, row.bar);
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "ok",
        Verdict::Missed => "MISSED",
        Verdict::TooFew => "few",
        Verdict::Told => "",
    }
}

fn json(scenario: Scenario, rows: &[Row]) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "what": row.what, "bar": row.bar, "value": row.value,
                "verdict": match row.verdict {
                    Verdict::Met => "met",
                    Verdict::Missed => "missed",
                    Verdict::TooFew => "too_few",
                    Verdict::Told => "told",
                },
                "worst_seed": row.worst_seed,
            })
        })
        .collect();
    let tiers: Vec<&str> = scenario.tiers().iter().map(|tier| tier.name()).collect();
    serde_json::json!({
        "scenario": scenario.name(), "title": scenario.title(), "tiers": tiers, "rows": rows,
    })
}

/// What happened, moment by moment.
fn trace(seed: u64, record: &Record) {
    let at = |instant: seawall_model::Instant| {
        let since = |early: seawall_model::Instant| instant.saturating_since(early).as_secs_f64();
        if instant < record.from {
            -(record.from.saturating_since(instant).as_secs_f64())
        } else {
            since(record.from)
        }
    };
    println!(
        "\nseed {seed}: times are seconds after it began; it ended at {:.0}",
        at(record.until)
    );
    let mut lines: Vec<(f64, String)> = Vec::new();
    lines.extend(record.states.iter().map(|state| (at(state.0), format!("state {}", state.3))));
    lines.extend(record.measures.iter().map(|(when, words)| (at(*when), words.clone())));
    lines.extend(record.waves.iter().map(|wave| (at(wave.0), format!("wave {}", wave.1))));
    let start = at(record.start);
    for (second, sums) in record.seconds.iter().enumerate() {
        lines.push((
            start + second as f64 + 0.999,
            format!(
                "requests {} (met {}), hostile {} (met {}, refused {}, fetched {}), origin {:.0}",
                sums.legit,
                sums.legit_met,
                sums.hostile,
                sums.hostile_met,
                sums.hostile_refused,
                sums.hostile_fetched,
                sums.origin_work
            ),
        ));
    }
    let mut failed: BTreeMap<i64, BTreeMap<String, u32>> = BTreeMap::new();
    for view in record.views.iter().filter(|view| !view.is_good) {
        let why = view.refused.map_or("late", seawall_model::Cause::as_str);
        let name = format!("{} {:?} {why}", view.cohort.name(), view.want);
        *failed.entry(at(view.began).floor() as i64).or_default().entry(name).or_default() += 1;
    }
    lines.extend(
        failed.iter().map(|(second, why)| (*second as f64 + 0.998, format!("failed: {why:?}"))),
    );
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (when, line) in lines {
        println!("{when:>9.2}  {line}");
    }
}
