//! Days of ordinary traffic and the steps of attacks, simulated as counts of ticks.

use std::vec::Vec;

use super::*;
use crate::random::Random;

const TICK_S: f64 = 0.25;

impl Random {
    /// Requests of one page: six on average, one page in a hundred a gallery of 40 to 200.
    fn page(&mut self) -> f64 {
        if self.unit() < 0.01 {
            return 40.0 * libm::pow(1.0 - self.unit(), -1.0 / 1.5).min(5.0);
        }
        1.0 + libm::floor(libm::log(1.0 - self.unit()) / libm::log(1.0 - 1.0 / 5.2))
    }
}

/// A site that is visited: pages arrive at random, their requests come over two seconds, the rate has a
/// day and wanders by a tenth.
struct Site {
    random: Random,
    per_s: f64,
    seconds: f64,
    wander: f64,
    /// Requests that pages which have begun still bring, by tick.
    coming: [f64; 8],
}

impl Site {
    fn new(per_s: f64, seed: u64) -> Self {
        let coming = [0.0; 8];
        Self { random: Random(seed), per_s, seconds: 0.0, wander: 0.0, coming }
    }

    fn rate(&self) -> f64 {
        let day = self.seconds / 86_400.0;
        let cycle = 1.0 + 0.6 * libm::sin(core::f64::consts::TAU * day);
        self.per_s * cycle * libm::exp(self.wander)
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos((self.seconds * 1e9) as u64)
    }

    /// The next tick.
    fn tick(&mut self) -> Reading {
        self.seconds += TICK_S;
        // A first-order walk with a deviation of a tenth over ten minutes.
        let keep = 1.0 - TICK_S / 600.0;
        self.wander =
            self.wander * keep + 0.1 * libm::sqrt(1.0 - keep * keep) * self.random.normal();
        let pages = self.random.poisson(self.rate() * TICK_S / 6.0);
        self.spread(pages);
        let requests = self.coming[0];
        self.coming.rotate_left(1);
        self.coming[7] = 0.0;
        let part = |random: &mut Random, share: f64| random.poisson(requests * share);
        let random = &mut self.random;
        let mut values = [Some(0.0); COUNT];
        let mut set = |channel: Channel, value: f64| values[channel.index()] = Some(value);
        set(Channel::Requests, requests);
        let origin = part(random, 0.15);
        set(Channel::OriginBound, origin);
        set(Channel::OriginCost, origin * 80.0 * libm::exp(0.5 * random.normal()));
        let visits = random.poisson(pages * 0.4);
        set(Channel::Connections, 2.0 * visits);
        set(Channel::Handshakes, 2.0 * visits);
        set(Channel::NewClients, visits);
        // A scanner twice a day: sixty made-up paths, some broken handshakes.
        let is_scanned = random.unit() < 2.0 / (86_400.0 / TICK_S);
        let scanned = if is_scanned { 60.0 } else { 0.0 };
        set(Channel::HandshakeFailures, part(random, 0.002) + scanned / 4.0);
        set(Channel::Resets, part(random, 0.01));
        set(Channel::SlowConnections, part(random, 0.002));
        set(Channel::ClientErrors, part(random, 0.02) + scanned);
        set(Channel::ServerErrors, part(random, 0.001));
        Reading { seconds: TICK_S, wall: self.wall(), values, priors: [10.0 * self.per_s; COUNT] }
    }

    /// The requests of `pages` pages, over the next two seconds.
    fn spread(&mut self, pages: f64) {
        let mut requests = 0.0;
        // Of many pages the sum, by its mean and variance, and the galleries one by one.
        if pages > 40.0 {
            let galleries = self.random.poisson(pages * 0.01);
            let plain = pages - galleries;
            requests += (plain * 5.7 + libm::sqrt(plain * 22.0) * self.random.normal()).max(0.0);
            for _ in 0..galleries as u32 {
                requests += 40.0 * libm::pow(1.0 - self.random.unit(), -1.0 / 1.5).min(5.0);
            }
            requests = libm::round(requests);
        } else {
            for _ in 0..pages as u32 {
                requests += libm::floor(self.random.page());
            }
        }
        let parts = [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05];
        for (place, part) in parts.into_iter().enumerate() {
            let share = libm::floor(requests * part + self.random.unit());
            self.coming[place] += share;
        }
    }
}

/// A day of a site, and how often each channel and scale was out of the ordinary in it after its first hour.
fn day(per_s: f64) -> (Site, Channels, [[u32; 3]; COUNT]) {
    let mut site = Site::new(per_s, 7);
    let mut channels = Channels::new();
    let mut counts = [[0; 3]; COUNT];
    let mut last = [[0.0; 3]; COUNT];
    while site.seconds < 86_400.0 {
        let reading = site.tick();
        channels.step(&reading, Learning::Ordinary);
        for alarm in channels.alarms() {
            let (channel, scale) = (alarm.channel.index(), alarm.scale.index());
            let is_another = site.seconds - last[channel][scale] > 60.0;
            counts[channel][scale] += u32::from(is_another && site.seconds > 3_600.0);
            last[channel][scale] = site.seconds;
        }
    }
    (site, channels, counts)
}

/// Seconds until the channel of requests notices `times` as many on top, at midnight, over seeds.
fn delays(site: &Site, channels: &Channels, times: f64) -> Vec<f64> {
    let of_seed = |seed| {
        let mut channels = channels.clone();
        let mut site =
            Site { random: Random(seed), seconds: site.seconds, ..Site::new(site.per_s, 0) };
        for _ in 0..240 {
            channels.step(&site.tick(), Learning::Ordinary);
        }
        let begin = site.seconds;
        let added = times * site.rate() * TICK_S;
        let is_noticed = |channels: &Channels| {
            channels.alarms().iter().any(|alarm| alarm.channel == Channel::Requests)
        };
        while !is_noticed(&channels) && site.seconds - begin < 600.0 {
            let mut reading = site.tick();
            let more = site.random.poisson(added);
            let requests = &mut reading.values[Channel::Requests.index()];
            *requests = requests.map(|requests| requests + more);
            channels.step(&reading, Learning::Ordinary);
        }
        site.seconds - begin
    };
    let mut delays: Vec<f64> = (0..40).map(of_seed).collect();
    delays.sort_unstable_by(f64::total_cmp);
    delays
}

fn check(per_s: f64, most_alarms: u32, bars: &[(f64, f64, f64)]) {
    let (site, channels, counts) = day(per_s);
    for (channel, counts) in Channel::ALL.into_iter().zip(counts) {
        let alarms: u32 = counts.iter().sum();
        assert!(alarms <= most_alarms, "{channel:?}: {counts:?}");
    }
    for (times, median_s, late_s) in bars {
        let delays = delays(&site, &channels, *times);
        let (median, late) = (delays[20], delays[38]);
        assert!(median <= *median_s && late <= *late_s, "+{times}: {median} {late}");
    }
}

#[test]
fn a_small_site_is_seldom_watched_and_a_flood_noticed_in_four_seconds() {
    check(5.0, 30, &[(10.0, 4.0, 4.0), (40.0, 4.0, 4.0)]);
}

#[test]
fn a_middling_site_is_seldom_watched_and_a_flood_noticed_in_a_second() {
    check(50.0, 10, &[(10.0, 1.0, 2.0), (40.0, 1.0, 2.0), (3.0, 5.0, 9.0), (1.0, 30.0, 60.0)]);
}

#[test]
fn a_busy_site_is_not_watched_each_morning_and_a_flood_noticed_at_once() {
    // A gain for each tick, and not for each second, gave hundreds on the slow scale.
    check(500.0, 10, &[(10.0, 0.75, 1.0), (3.0, 1.0, 1.5), (1.0, 10.0, 15.0), (0.5, 60.0, 90.0)]);
}

/// Windows until connections are out of the ordinary, of so many more in each, and so many more requests.
fn windows_of_connections(per_s: f64, connections: f64, requests: f64) -> Option<u32> {
    let mut site = Site::new(per_s, 11);
    let mut channels = Channels::new();
    while site.seconds < 3_600.0 {
        channels.step(&site.tick(), Learning::Ordinary);
    }
    let is_noticed = |channels: &Channels| {
        channels.alarms().iter().any(|alarm| alarm.channel == Channel::Connections)
    };
    (1..=8).find(|_| {
        let mut reading = site.tick();
        for (channel, more) in [(Channel::Connections, connections), (Channel::Requests, requests)]
        {
            let value = &mut reading.values[channel.index()];
            *value = value.map(|value| value + more);
        }
        channels.step(&reading, Learning::Ordinary);
        is_noticed(&channels)
    })
}

#[test]
fn connections_that_ask_for_nothing_are_noticed_within_a_second_however_few_there_are_else() {
    for per_s in [5.0, 50.0, 200.0] {
        let windows = windows_of_connections(per_s, 225.0, 0.0);
        assert!(windows.is_some_and(|windows| windows <= 3), "{per_s}: {windows:?}");
    }
}

#[test]
fn readers_who_come_at_once_and_lines_that_were_disturbed_are_not_noticed_sooner_than_before() {
    for per_s in [5.0, 50.0] {
        let windows = windows_of_connections(per_s, 225.0, 450.0);
        assert!(windows.is_none_or(|windows| windows > 4), "{per_s}: {windows:?}");
        let few = windows_of_connections(per_s, 40.0, 0.0);
        assert!(few.is_none_or(|windows| windows > 4), "{per_s}: {few:?}");
    }
}

#[test]
fn the_end_of_a_flood_is_noticed_in_a_dozen_seconds_on_every_scale() {
    let (site, channels, _) = day(50.0);
    let (mut late, mut ticks) = (0, 0);
    for seed in 0..20 {
        let mut channels = channels.clone();
        let mut site =
            Site { random: Random(seed), seconds: site.seconds, ..Site::new(site.per_s, 0) };
        for _ in 0..4 * 45 {
            let mut reading = site.tick();
            for channel in [Channel::Requests, Channel::OriginBound, Channel::Connections] {
                let value = &mut reading.values[channel.index()];
                *value = value.map(|value| value + 500.0);
            }
            channels.step(&reading, Learning::Held);
        }
        assert!(channels.alarms().iter().any(|alarm| alarm.scale == Scale::Slow));
        for tick in 0..4 * 60 {
            channels.step(&site.tick(), Learning::Held);
            if tick >= 4 * 12 {
                late += u32::from(!channels.alarms().is_empty());
                ticks += 1;
            }
        }
    }
    // A tenth, and not all of the 47 seconds that sums took to run down.
    assert!(late * 6 <= ticks, "{late} of {ticks}");
}

#[test]
fn what_stays_without_being_an_alarm_is_the_new_ordinary() {
    let (mut site, mut channels, _) = day(50.0);
    site.per_s *= 4.0;
    for _ in 0..4 * 3_600 {
        channels.step(&site.tick(), Learning::Ordinary);
    }
    let expected = channels.expected(Channel::Requests, 0.0);
    assert!((expected / site.rate() - 1.0).abs() < 0.5, "{expected} {}", site.rate());
}

#[test]
fn what_is_kept_of_channels_comes_back_and_nothing_else() {
    let mut site = Site::new(50.0, 3);
    let mut channels = Channels::new();
    (0..4_000).for_each(|_| channels.step(&site.tick(), Learning::Ordinary));
    let parts: Vec<f64> = channels.parts().collect();
    assert_eq!(parts.len(), COUNT * PARTS);
    let read = |parts: &[f64]| Channels::from_parts(parts.iter().copied(), Seasonal::new());
    assert!(read(&parts).is_some_and(|again| again.parts().eq(parts.iter().copied())));
    assert!(read(&parts[1..]).is_none());
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        let mut parts = parts.clone();
        parts[0] = wrong;
        assert!(read(&parts).is_none(), "{wrong}");
    }
}
