//! What the origin can bear: a few workers, a bounded queue, then "503".
//!
//! The model is a small PHP pool: `workers` requests are worked on at once, each for as long as its
//! kind takes; `backlog` more wait in order; any beyond is refused at once. Four workers and 40 ms a
//! page make 100 pages a second. Time is tokio's, so tests run it on a virtual clock.
//!
//! It deliberately does not give up on a request whose reader has left: neither does PHP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How the origin is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Requests worked on at once.
    pub workers: usize,
    /// Requests that may wait for a worker.
    pub backlog: usize,
    /// Connections held at once; one more is told "503" and closed.
    pub max_connections: usize,
}

impl Default for Model {
    fn default() -> Self {
        // php-fpm's `listen.backlog` was 128 for long and still is what many kernels cut it to.
        // Debian's nginx takes 768 connections a worker and spends a second one on each request
        // that it hands to PHP, so two workers hold about as many readers as this.
        Self { workers: 4, backlog: 128, max_connections: 1_024 }
    }
}

/// What a request costs a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A file.
    Static,
    /// A page put together from the database.
    Page,
    /// A search through all stories.
    Search,
    /// Nothing: answered beside the workers.
    Free,
}

impl Cost {
    /// How long a worker is busy with it.
    pub fn service_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Static => 2,
            Self::Page => 40,
            Self::Search => 120,
            Self::Free => 0,
        })
    }
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all workers are busy and the queue is full")]
pub struct Busy;

/// The pool at work. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Capacity {
    shared: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    workers: Semaphore,
    places: u64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
}

impl Capacity {
    /// A pool built like `model`, idle.
    pub fn new(model: Model) -> Self {
        Self {
            shared: Arc::new(Pool {
                workers: Semaphore::new(model.workers),
                places: (model.workers + model.backlog) as u64,
                in_flight: AtomicU64::new(0),
                peak_in_flight: AtomicU64::new(0),
            }),
        }
    }

    /// Waits for a worker and has it work on a request of this cost.
    ///
    /// # Errors
    /// [`Busy`] at once if the queue is full; answer 503 then.
    pub async fn work(&self, cost: Cost) -> Result<(), Busy> {
        if cost == Cost::Free {
            return Ok(());
        }
        let _place = self.take_place()?;
        let _worker = self.shared.workers.acquire().await.map_err(|_| Busy)?;
        sleep(cost.service_time()).await;
        Ok(())
    }

    /// Requests worked on or waiting now.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// The most there were at once since the last [`reset_peak`](Self::reset_peak).
    pub fn peak_in_flight(&self) -> u64 {
        self.shared.peak_in_flight.load(Ordering::Relaxed)
    }

    /// Forgets the peak.
    pub fn reset_peak(&self) {
        self.shared.peak_in_flight.store(self.in_flight(), Ordering::Relaxed);
    }

    fn take_place(&self) -> Result<Place<'_>, Busy> {
        let pool = &*self.shared;
        let before = pool.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place { pool };
        if before >= pool.places {
            return Err(Busy);
        }
        pool.peak_in_flight.fetch_max(before + 1, Ordering::Relaxed);
        Ok(place)
    }
}

/// A place in the pool, given back on drop.
struct Place<'a> {
    pool: &'a Pool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::{Busy, Capacity, Cost, Model};

    /// Offers `count` requests of `cost`, one each `every`; how many were done, and how long all took.
    async fn check(count: u64, cost: Cost, every: Duration) -> (Capacity, usize, Duration) {
        let capacity = Capacity::new(Model::default());
        let start = Instant::now();
        let mut offered = JoinSet::new();
        for _ in 0..count {
            let pool = capacity.clone();
            offered.spawn(async move { pool.work(cost).await });
            sleep(every).await;
        }
        let outcomes = offered.join_all().await;
        let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        (capacity, done, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_pages_a_second_are_borne() {
        let (capacity, done, took) = check(1_000, Cost::Page, Duration::from_millis(10)).await;
        assert_eq!(done, 1_000);
        assert!(took < Duration::from_millis(10_100), "{took:?}");
        assert!(capacity.peak_in_flight() <= 5, "{}", capacity.peak_in_flight());
        assert_eq!(capacity.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_pages_a_second_are_mostly_refused() {
        let (capacity, done, took) = check(10_000, Cost::Page, Duration::from_millis(1)).await;
        assert!((1_050..=1_160).contains(&done), "{done}");
        // The last one admitted waits behind a full queue: 128 pages at 100 a second.
        assert!(took > Duration::from_millis(11_200), "{took:?}");
        assert_eq!(capacity.peak_in_flight(), 132);
    }

    #[tokio::test(start_paused = true)]
    async fn searches_cost_three_pages() {
        let (_, done, took) = check(120, Cost::Search, Duration::ZERO).await;
        assert_eq!(done, 120);
        assert!((3_600..3_800).contains(&took.as_millis()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_free_things_pass_it() {
        let capacity = Capacity::new(Model { workers: 1, backlog: 0, max_connections: 1 });
        let busy = capacity.clone();
        let working = tokio::spawn(async move { busy.work(Cost::Page).await });
        tokio::task::yield_now().await;
        assert_eq!(capacity.work(Cost::Static).await, Err(Busy));
        assert_eq!(capacity.work(Cost::Free).await, Ok(()));
        assert_eq!(working.await.expect("it does not panic"), Ok(()));
        assert_eq!(capacity.work(Cost::Static).await, Ok(()));
        capacity.reset_peak();
        assert_eq!(capacity.peak_in_flight(), 0);
    }
}
