//! Keeps what the operator ordered about signatures over restarts: whoever decided something in the night
//! must not lose it to a power cut.
//!
//! `orders` in the state folder, readable by its owner alone, written beside itself and renamed before whoever
//! gave an order is told that it was followed: a checksum, then JSON. Values are hashes of the baseline's seed;
//! with another seed they are made again from their words. A file that is damaged is put aside as
//! `orders.damaged`, said in the log. It does **not** know of addresses: they have a file of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_control::{ControlLoop, Measure, Mode, OperatorCommand, Order};
use seawall_decide::Attributer;
use seawall_model::{Attribute, Instant, Rung, Signature, Term, WallTime};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::terms;
use crate::admin::{OrderRefusal, flag_of};
use crate::state_file;

/// The file, and what of it the controller does not know.
pub(super) struct Book {
    shelf: Arc<Shelf>,
    /// How many pages were made.
    pages: u64,
    /// By which a seed is known again, and nothing else.
    seed: u64,
    mode: Option<OrderedMode>,
}

/// Where pages go.
#[derive(Debug)]
struct Shelf {
    path: PathBuf,
    /// The number of the last one that is on disk.
    written: Mutex<u64>,
}

/// What stands, to be written by whoever waits for it: a slow disk must not hold up the watch.
#[derive(Debug)]
pub(crate) struct Page {
    number: u64,
    bytes: Vec<u8>,
    shelf: Arc<Shelf>,
}

impl Page {
    /// Writes it, unless a later one is there, which has all of it. Touches the disk.
    ///
    /// # Errors
    /// The disk did not take it.
    pub(crate) fn write(&self) -> Result<(), OrderRefusal> {
        let mut written = self.shelf.written.lock();
        if self.number < *written {
            return Ok(());
        }
        state_file::write_whole(&self.shelf.path, &self.bytes).map_err(|error| {
            tracing::error!(
                "the operator's orders are in force, but a restart would not know: {error}"
            );
            OrderRefusal::not_written(&error)
        })?;
        *written = self.number;
        Ok(())
    }
}

/// What the operator said while the configuration said something: where that says another thing, it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OrderedMode {
    mode: Mode,
    configured: Mode,
}

/// What the file says.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    version: u32,
    seed: u64,
    /// When, in seconds since 1970: what is left of an order is left from then on.
    written_s: u64,
    /// What was ordered and what was configured then.
    mode: Option<[String; 2]>,
    orders: Vec<KeptOrder>,
}

#[derive(Debug, Deserialize, Serialize)]
struct KeptOrder {
    /// `None`: a veto.
    rung: Option<String>,
    left_s: u64,
    terms: Vec<KeptTerm>,
}

#[derive(Debug, Deserialize, Serialize)]
struct KeptTerm {
    attribute: String,
    value: u32,
    words: String,
}

/// What became of the file's orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Restored {
    orders: usize,
    /// Those whose words mean nothing without the traffic of then.
    lost: usize,
    mode: Option<Mode>,
}

const VERSION: u32 = 1;
const MOST_AWAY: Duration = Duration::from_secs(24 * 3_600);

impl Book {
    pub(super) fn new(dir: &Path, seed: [u64; 2]) -> Self {
        let seed = SipHasher13::new_with_keys(seed[0], seed[1]).hash(b"orders");
        let shelf = Shelf { path: dir.join("orders"), written: Mutex::new(0) };
        Self { shelf: Arc::new(shelf), pages: 0, seed, mode: None }
    }

    /// Takes note of a mode that was ordered while the configuration says `configured`.
    pub(super) fn set_mode(&mut self, mode: Mode, configured: Mode) {
        self.mode = (mode != configured).then_some(OrderedMode { mode, configured });
    }

    /// Whether one was ordered that is none any more.
    pub(super) fn forget_mode(&mut self) -> bool {
        self.mode.take().is_some()
    }

    /// Puts in force what the file says, and says so in the log. Touches the disk.
    pub(super) fn restore(
        &mut self,
        (control, attributer): (&mut ControlLoop, &Attributer),
        (now, wall): (Instant, WallTime),
    ) -> Restored {
        let Some(kept) = self.read() else { return Restored::default() };
        let mut restored = Restored::default();
        let configured = control.controller().mode();
        let mode =
            kept.mode.as_ref().and_then(|[mode, then]| Some((as_mode(mode)?, as_mode(then)?)));
        if let Some((mode, _)) = mode.filter(|(_, then)| *then == configured) {
            self.set_mode(mode, configured);
            restored.mode = self.mode.map(|ordered| ordered.mode);
            control.order(now, OperatorCommand::SetMode(mode));
        }
        let away = away(wall.saturating_since(WallTime::from_unix_secs(kept.written_s)));
        let is_same_seed = kept.seed == self.seed;
        for order in &kept.orders {
            let lasts = Duration::from_secs(order.left_s).saturating_sub(away);
            if lasts.is_zero() {
                continue;
            }
            let means = signature(order, is_same_seed, control, attributer);
            match means.and_then(|signature| command(order, signature, lasts)) {
                Some(command) => {
                    control.order(now, command);
                    restored.orders += 1;
                }
                None => restored.lost += 1,
            }
        }
        let Restored { orders, lost, mode } = restored;
        // What is over, or was said of another configuration, must not come back.
        let _said = self.page(control, (now, wall)).write();
        if restored != Restored::default() {
            let mode = mode.map(Mode::as_str);
            tracing::warn!(orders, lost, mode, "what the operator ordered is in force again");
        }
        restored
    }

    /// What stands, to be written.
    pub(super) fn page(&mut self, control: &ControlLoop, (now, wall): (Instant, WallTime)) -> Page {
        let measures = control.controller().measures();
        let kept = Kept {
            version: VERSION,
            seed: self.seed,
            written_s: wall.unix_secs(),
            mode: self.mode.map(|it| [it.mode, it.configured].map(|mode| mode.as_str().to_owned())),
            orders: measures.iter().filter_map(|measure| kept(control, measure, now)).collect(),
        };
        let json = serde_json::to_string(&kept).unwrap_or_default();
        let bytes = format!("{:016x}\n{json}\n", checksum(&json)).into_bytes();
        self.pages += 1;
        Page { number: self.pages, bytes, shelf: Arc::clone(&self.shelf) }
    }

    fn read(&self) -> Option<Kept> {
        let file = self.shelf.path.display();
        let bytes = match state_file::read(&self.shelf.path) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::error!(%file, "what the operator ordered cannot be read: {error}");
                return None;
            }
        };
        let kept = parse(&bytes);
        if kept.is_none() {
            let meaning = "the file of what the operator ordered is damaged: give the orders again";
            if let Err(error) = state_file::put_aside(&self.shelf.path, meaning) {
                // It will be written over.
                tracing::error!(%file, "{meaning}; it could not be put aside: {error}");
            }
        }
        kept
    }
}

/// For how long nobody was here, as far as a clock may be believed: one that begins in 1970 or was years ahead must
/// not end what was ordered for weeks. As the baseline has it.
fn away(by_the_clock: Duration) -> Duration {
    if by_the_clock > MOST_AWAY {
        let days = by_the_clock.as_secs() / MOST_AWAY.as_secs();
        tracing::warn!(
            days,
            "by the clock nobody was here for days; orders are taken to be one day older"
        );
    }
    by_the_clock.min(MOST_AWAY)
}

fn parse(bytes: &[u8]) -> Option<Kept> {
    let (sum, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let json = json.trim_end();
    let is_whole = u64::from_str_radix(sum, 16).ok()? == checksum(json);
    let kept: Kept = is_whole.then(|| serde_json::from_str(json).ok())??;
    (kept.version == VERSION).then_some(kept)
}

/// Tells damage, not forgery: who can write the file can write anything into it.
fn checksum(json: &str) -> u64 {
    SipHasher13::new_with_keys(0, 0).hash(json.as_bytes())
}

fn kept(control: &ControlLoop, measure: &Measure, now: Instant) -> Option<KeptOrder> {
    let (rung, until) = match measure.order? {
        Order::Pinned { rung, until } => (Some(rung.as_str().to_owned()), until),
        Order::Vetoed { until } => (None, until),
    };
    let words = control.detector().words();
    let of = |term: Term| KeptTerm {
        attribute: flag_of(term.attribute).to_owned(),
        value: term.value,
        words: words.text(term.attribute, term.value).unwrap_or_default().to_owned(),
    };
    let left_s = until.saturating_since(now).as_secs();
    let terms = measure.signature.terms().map(of).collect();
    (left_s > 0).then_some(KeptOrder { rung, left_s, terms })
}

/// Whom it means: by its values if they are of the same seed, else by its words.
fn signature(
    order: &KeptOrder,
    is_same_seed: bool,
    control: &mut ControlLoop,
    attributer: &Attributer,
) -> Option<Signature> {
    let mut terms = Vec::with_capacity(order.terms.len());
    for kept in &order.terms {
        let attribute = Attribute::ALL.into_iter().find(|it| flag_of(*it) == kept.attribute)?;
        let value = if is_same_seed {
            kept.value
        } else {
            terms::from_words(attributer, control.detector(), attribute, &kept.words)?.value
        };
        if !kept.words.is_empty() {
            control.keep_words(attribute, value, &kept.words);
        }
        terms.push(Term { attribute, value });
    }
    Signature::new(&terms)
}

fn command(order: &KeptOrder, signature: Signature, lasts: Duration) -> Option<OperatorCommand> {
    let Some(rung) = &order.rung else { return Some(OperatorCommand::Veto { signature, lasts }) };
    let rung = Rung::ALL.into_iter().find(|it| it.as_str() == rung)?;
    Some(OperatorCommand::Pin { signature, rung, lasts })
}

fn as_mode(text: &str) -> Option<Mode> {
    [Mode::Act, Mode::Observe].into_iter().find(|mode| mode.as_str() == text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use seawall_control::{ControllerConfig, MeasureState};
    use seawall_detect::DetectorConfig;

    use super::*;

    const SEED: [u64; 2] = [1, 2];
    const NOW: Instant = Instant::from_nanos(7);
    const WALL: WallTime = WallTime::from_unix_secs(1_795_341_600);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn control(seed: [u64; 2]) -> ControlLoop {
        ControlLoop::new(DetectorConfig::default(), ControllerConfig::default(), seed)
    }

    /// Of `text` and of a value that no text stands for.
    fn ordered(path: &str, seed: [u64; 2]) -> ControlLoop {
        let mut control = control(seed);
        let attributer = Attributer::new(seed);
        let meant = terms::value(&attributer, control.detector(), Attribute::Path, path);
        let meant = meant.expect("a path");
        control.keep_words(Attribute::Path, meant.value, &meant.words);
        let of = |attribute, value| Signature::new(&[Term { attribute, value }]).expect("one term");
        let (one, other) = (of(Attribute::Path, meant.value), of(Attribute::Ja4, 77));
        let pin = OperatorCommand::Pin { signature: one, rung: Rung::Challenge, lasts: 2 * HOUR };
        control.order(NOW, pin);
        control.order(NOW, OperatorCommand::Veto { signature: other, lasts: HOUR });
        control
    }

    fn restore(dir: &Path, seed: [u64; 2], wall: WallTime) -> (ControlLoop, Restored) {
        let mut control = control(seed);
        let parts = (&mut control, &Attributer::new(seed));
        let restored = Book::new(dir, seed).restore(parts, (NOW, wall));
        (control, restored)
    }

    fn found(orders: usize, lost: usize, mode: Option<Mode>) -> Restored {
        Restored { orders, lost, mode }
    }

    #[test]
    fn orders_come_back_with_what_is_left_of_their_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = ordered("/search", SEED);
        let mut book = Book::new(dir.path(), SEED);
        book.set_mode(Mode::Observe, Mode::Act);
        book.page(&first, (NOW, WALL)).write().expect("written");
        let (again, restored) = restore(dir.path(), SEED, WALL + HOUR / 2);
        assert_eq!(restored, found(2, 0, Some(Mode::Observe)));
        assert_eq!(again.controller().mode(), Mode::Observe);
        let [pinned, vetoed] = again.controller().measures() else { panic!("two measures") };
        let until = NOW + HOUR + HOUR / 2;
        assert_eq!(pinned.order, Some(Order::Pinned { rung: Rung::Challenge, until }));
        assert!(again.describe(&pinned.signature).contains("/search"));
        assert_eq!(vetoed.order, Some(Order::Vetoed { until: NOW + HOUR / 2 }));
        assert_ne!(vetoed.state, MeasureState::Active);
        assert_eq!(restore(dir.path(), SEED, WALL + HOUR).1.orders, 1, "one is over");
        // A clock that is behind does not make them longer.
        let (behind, _) = restore(dir.path(), SEED, WallTime::from_unix_secs(5));
        let until = NOW + HOUR;
        let order = behind.controller().measures()[0].order;
        assert_eq!(order, Some(Order::Pinned { rung: Rung::Challenge, until }));
        let late = WallTime::from_unix_secs(5) + HOUR;
        assert_eq!(restore(dir.path(), SEED, late).1.orders, 0);
    }

    #[test]
    fn a_clock_that_was_wrong_by_years_ends_nothing_that_lasts_for_days() {
        for (written, started) in [
            (WallTime::from_unix_secs(5), WALL),
            (WALL, WALL + 24 * 365 * 10 * HOUR),
            (WALL + 24 * 365 * 10 * HOUR, WALL),
        ] {
            let dir = tempfile::tempdir().expect("a folder");
            let mut first = ordered("/search", SEED);
            let signature = first.controller().measures()[0].signature;
            let lasts = 48 * HOUR;
            first.order(NOW, OperatorCommand::Pin { signature, rung: Rung::Demote, lasts });
            Book::new(dir.path(), SEED).page(&first, (NOW, written)).write().expect("written");
            let (again, _) = restore(dir.path(), SEED, started);
            let [pinned, ..] = again.controller().measures() else { panic!("it ended") };
            let Some(Order::Pinned { until, .. }) = pinned.order else { panic!("{pinned:?}") };
            assert!(until >= NOW + 24 * HOUR && until <= NOW + 48 * HOUR, "{until:?}");
        }
    }

    #[test]
    fn with_another_seed_words_say_what_was_meant() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = ordered("/search", SEED);
        Book::new(dir.path(), SEED).page(&first, (NOW, WALL)).write().expect("written");
        let (again, restored) = restore(dir.path(), [3, 4], WALL);
        assert_eq!(restored, found(1, 1, None), "a fingerprint cannot be made from words");
        let other = ordered("/search", [3, 4]);
        let signature = |control: &ControlLoop| control.controller().measures()[0].signature;
        assert_eq!(signature(&again), signature(&other));
        assert_ne!(signature(&again), signature(&first));
    }

    #[test]
    fn a_mode_ends_where_the_configuration_says_something_new() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut book = Book::new(dir.path(), SEED);
        book.set_mode(Mode::Act, Mode::Observe);
        book.page(&control(SEED), (NOW, WALL)).write().expect("written");
        // It says `act` by now.
        assert_eq!(restore(dir.path(), SEED, WALL).1, Restored::default());
        assert!(book.forget_mode() && !book.forget_mode());
    }

    #[test]
    fn any_damage_puts_the_file_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("orders");
        Book::new(dir.path(), SEED)
            .page(&ordered("/a", SEED), (NOW, WALL))
            .write()
            .expect("written");
        let whole = fs::read(&path).expect("there");
        let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), b"\n".to_vec(), whole[1..].to_vec()];
        damaged.extend((0..whole.len() - 1).step_by(7).map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        }));
        for bytes in damaged {
            fs::write(&path, &bytes).expect("written");
            let (control, restored) = restore(dir.path(), SEED, WALL);
            assert_eq!(restored, Restored::default(), "{}", String::from_utf8_lossy(&bytes));
            assert!(control.controller().measures().is_empty());
            assert_eq!(fs::read(dir.path().join("orders.damaged")).expect("put aside"), bytes);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_page_that_is_written_late_takes_the_place_of_no_later_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut book = Book::new(dir.path(), SEED);
        let early = book.page(&control(SEED), (NOW, WALL));
        let late = book.page(&ordered("/a", SEED), (NOW, WALL));
        assert_eq!(
            fs::read_dir(dir.path()).expect("a folder").count(),
            0,
            "who makes one waits for no disk"
        );
        late.write().expect("written");
        early.write().expect("a later one is there");
        assert_eq!(restore(dir.path(), SEED, WALL).1, found(2, 0, None));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_said_to_whoever_ordered() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut book = Book::new(&dir.path().join("gone"), SEED);
        let refused = book.page(&ordered("/a", SEED), (NOW, WALL)).write().expect_err("no folder");
        assert_eq!(refused.status, 507);
    }
}
