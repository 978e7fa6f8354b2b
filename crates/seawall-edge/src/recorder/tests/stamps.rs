//! Stamps of the time on records: an authority that says what it is told to, in virtual time.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use seawall_report::{Entry, Timestamp};
use seawall_seal::Digest;

use super::super::authority::AskError;
use super::super::stamps::{Asker, Remote, Stamps};
use super::*;
use crate::config::{OriginTarget, TimestampAuthority};

/// Answers with what it is told to, and then with stamps.
#[derive(Default)]
struct Authority {
    asked: Arc<Mutex<Vec<Digest>>>,
    failures: VecDeque<AskError>,
    waits: bool,
}

impl Asker for Authority {
    fn ask(&mut self, digest: Digest) {
        assert!(!self.waits, "one question at a time");
        self.waits = true;
        self.asked.lock().push(digest);
    }

    fn answer(&mut self) -> Option<Result<Vec<u8>, AskError>> {
        assert!(std::mem::take(&mut self.waits), "it was asked");
        Some(self.failures.pop_front().map_or(Ok(b"stamp".to_vec()), Err))
    }
}

struct Place {
    disk: Memory,
    key: Arc<SigningKey>,
    writing: Writer<Memory>,
    stamps: Stamps<Authority>,
    asked: Arc<Mutex<Vec<Digest>>>,
    now: Moment,
}

impl Place {
    fn new(failures: usize) -> Self {
        let (disk, key) = (Memory::default(), Arc::new(SigningKey::generate().expect("a key")));
        let writing = writer(&disk, &key);
        let authority = Authority {
            failures: (0..failures).map(|_| AskError::Slow).collect(),
            ..Authority::default()
        };
        let asked = Arc::clone(&authority.asked);
        let stamps = Stamps::new(authority, "https://tsa.example.org/".to_owned());
        Self { disk, key, writing, stamps, asked, now: Moment::default() }
    }

    /// Records an incident of so many minutes, and asks every second.
    fn record(&mut self, minutes: u64) {
        let mut shield = Shield::new();
        let mut out = shield.open();
        for tick in 0..(minutes * 60 + 2) * 4 {
            out.extend(shield.tick(&[]));
            if tick == minutes * 240 {
                out.extend(shield.close());
            }
            self.now = shield.wall().into();
            self.writing.take(self.now, std::mem::take(&mut out));
            if tick % 4 == 0 {
                self.stamps.turn(&mut self.writing, self.now);
            }
        }
        assert_eq!(self.writing.incident(), None, "it is over");
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus_ms(1_000);
            self.stamps.turn(&mut self.writing, self.now);
        }
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn bytes(&self) -> Vec<u8> {
        self.disk.0.lock().files.values().next().expect("one").clone()
    }

    fn found(&self) -> seawall_report::VerifiedRecord {
        let mut verifier = RecordVerifier::new(Some(self.key.public()));
        verifier.take(&self.bytes());
        verifier.finish().expect("as it was sealed")
    }

    fn stamped(&self) -> Vec<Timestamp> {
        let entries = verified(&self.bytes(), &self.key).into_iter();
        let stamps = entries.filter_map(|entry| match entry {
            Entry::Timestamp(stamp) => Some(stamp),
            _ => None,
        });
        stamps.collect()
    }
}

#[test]
fn the_end_of_a_record_is_stamped_and_once() {
    let mut place = Place::new(0);
    place.record(3);
    let sealed = place.found();
    place.pass(200);
    let [stamp] = &place.stamped()[..] else { panic!("one stamp") };
    assert_eq!(*stamp, Timestamp::of(sealed.segments, "https://tsa.example.org/", b"stamp"));
    assert_eq!(*place.asked.lock(), [sealed.head.expect("sealed")], "the head of the chain");
    assert!(place.found().is_end_stamped);
    assert_eq!(place.writing.counters().stamps.load(Ordering::Relaxed), 1);

    // Of another life of the program, nothing is asked again; what was added meanwhile changes nothing.
    place.stamps = Stamps::new(Authority::default(), String::new());
    place.pass(200);
    assert_eq!(place.stamped().len(), 1);
}

#[test]
fn an_incident_that_goes_on_is_stamped_once_an_hour() {
    let mut place = Place::new(0);
    place.record(150);
    assert_eq!(place.asked(), 2);
    let segments: Vec<u64> = place.stamped().iter().map(|stamp| stamp.segment).collect();
    assert!(matches!(segments[..], [58..=62, 118..=122]), "{segments:?}");
    place.pass(100);
    assert_eq!(place.stamped().len(), 3, "and when it is over");
}

#[test]
fn without_an_authority_that_answers_the_record_is_what_it_was_and_it_is_asked_again() {
    let mut place = Place::new(9);
    place.record(3);
    let before = place.bytes();
    // A minute, two, four, up to an hour.
    place.pass(24 * 3_600);
    assert_eq!(place.asked(), 10);
    assert_eq!(place.writing.counters().stamp_failures.load(Ordering::Relaxed), 9);
    assert!(place.bytes().starts_with(&before));
    assert_eq!(place.stamped().len(), 1);
}

#[test]
fn a_stamp_that_cannot_be_written_is_asked_for_again() {
    let mut place = Place::new(0);
    place.record(3);
    let before = place.bytes();
    place.disk.0.lock().faults = 0..u64::MAX;
    place.pass(70);
    assert!(place.asked() > 0);
    place.disk.0.lock().faults = 0..0;
    place.pass(3_600);
    assert!(place.bytes().starts_with(&before));
    assert_eq!(place.stamped().len(), 1);
}

#[test]
fn a_record_of_another_key_or_an_old_one_is_left_alone() {
    let mut place = Place::new(0);
    place.record(3);
    place.writing = writer(&place.disk, &Arc::new(SigningKey::generate().expect("a key")));
    place.pass(200);
    assert_eq!(place.asked(), 0, "of another key");
    place.writing = writer(&place.disk, &place.key);
    place.stamps = Stamps::new(Authority::default(), String::new());
    place.now = place.now.plus_ms(8 * 86_400_000);
    place.pass(200);
    assert_eq!(place.stamped(), []);
}

#[test]
fn whoever_asks_does_not_wait() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let target = OriginTarget::Http { host: "127.0.0.1".to_owned(), port };
    let authority = TimestampAuthority { url: String::new(), target, path: "/".to_owned() };
    let mut remote = Remote::start(authority).expect("a thread");
    for _ in 0..2 {
        remote.ask(Digest::of(b"seal"));
        assert!(remote.answer().is_none(), "the authority says nothing");
        drop(listener.accept().expect("it is asked"));
        let answer = loop {
            match remote.answer() {
                Some(answer) => break answer,
                None => std::thread::yield_now(),
            }
        };
        assert!(matches!(answer, Err(AskError::Connection(_))), "{answer:?}");
    }
}
