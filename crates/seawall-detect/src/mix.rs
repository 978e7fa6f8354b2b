//! What requests look like now, and ordinarily: the composition, whatever the volume.
//!
//! Signal: divergence of each of fourteen attributes, their root mean square, so that one that is
//! altogether different counts for more than fourteen that are a little. Clients are counted, once in two
//! seconds each, and not requests: one reader of a gallery with two hundred images is no other mix. "Now" is
//! half a second to sixteen, as long as it takes for two dozen clients: of three, chance makes anything. Cold
//! start: what the caller knows of the browsers of the world; and nothing is said before there
//! were 100 clients. Nothing is learned while anything is out of the ordinary. Blind spots: what looks in
//! every single attribute as readers do; a few clients with all the requests (who have budgets).

use seawall_model::{Attribute, Attributes};

use crate::composition::Composition;

/// Both mixes.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    now: Composition,
    ordinary: Composition,
    /// Clients per second now, and ordinarily, and from how many seconds that is known.
    now_per_s: f64,
    ordinary_per_s: f64,
    ordinary_s: f64,
}

/// Over so many seconds the ordinary mix is forgotten.
const ORDINARY_S: f64 = 600.0;
/// But only what is more than so many clients: a small site has as many in a day, and would otherwise never know
/// what is ordinary.
const FORGOTTEN_BEYOND: f64 = 400.0;
/// Clients that are looked at together, and within which time.
const TOGETHER: f64 = 24.0;
const MIN_S: f64 = 0.5;
const MAX_S: f64 = 16.0;
/// Clients that are too few to say anything of them; and to say anything about what is ordinary.
const TOO_FEW: f64 = 8.0;
const TOO_FEW_ORDINARY: f64 = 100.0;
/// How often one client counts in what is looked at together.
const TIMES: f64 = 1.5;
/// What tells clients apart and crowds cannot choose.
const LOOKS: [Attribute; 3] = [Attribute::Ja4, Attribute::FieldOrder, Attribute::Http2Preface];

impl Mix {
    /// With what is ordinary in the world, as far as the caller knows.
    pub(crate) fn new(seed: [u64; 2], prior: &[Attributes]) -> Self {
        let mut ordinary = Composition::new(seed);
        add(&mut ordinary, prior);
        let now = Composition::new(seed);
        Self { now, ordinary, now_per_s: 0.0, ordinary_per_s: 0.0, ordinary_s: 0.0 }
    }

    /// Takes in `clients` of `seconds`, each of whom stands for so many.
    pub(crate) fn take(
        &mut self,
        clients: &[Attributes],
        each_stands_for: f64,
        seconds: f64,
        is_ordinary: bool,
    ) {
        let per_s = clients.len() as f64 * each_stands_for / seconds.max(1e-3);
        // Of more than that many it is enough to know the last half second: after a flood nobody has to wait
        // until sixteen seconds have gone by on the slow clock of a small site.
        let is_plenty = weight(&self.now) > 2.0 * TOGETHER;
        let together_s = (TOGETHER / per_s.max(1e-3)).clamp(MIN_S, MAX_S);
        let together_s = if is_plenty { MIN_S } else { together_s };
        let kept = libm::exp(-seconds / together_s);
        self.now.decay(kept as f32);
        add(&mut self.now, clients);
        self.now_per_s = self.now_per_s * kept + per_s * (1.0 - kept);
        if is_ordinary {
            let kept = libm::exp(-seconds / ORDINARY_S);
            let few = (FORGOTTEN_BEYOND / weight(&self.ordinary).max(1.0)).min(1.0);
            self.ordinary.decay(kept.max(few) as f32);
            add(&mut self.ordinary, clients);
            self.ordinary_s += seconds;
            let gain = (1.0 - kept).max(seconds / self.ordinary_s.max(seconds));
            self.ordinary_per_s += gain * (per_s - self.ordinary_per_s);
        }
    }

    /// How far now is from the ordinary, in bits; `None` if it cannot be told.
    pub(crate) fn far_bits(&self) -> Option<f64> {
        if weight(&self.now) < TOO_FEW || weight(&self.ordinary) < TOO_FEW_ORDINARY {
            return None;
        }
        let known = Composition::ATTRIBUTES
            .iter()
            .filter_map(|attribute| self.now.divergence(&self.ordinary, *attribute, TIMES))
            .map(|bits| bits.max(0.0));
        let (sum, count) = known.fold((0.0, 0.0), |(sum, n), bits| (sum + bits * bits, n + 1.0));
        (count > 0.0).then(|| libm::sqrt(sum / count))
    }

    /// How far what is too much is from the ordinary in what clients are; and of how many clients that is told.
    pub(crate) fn excess_bits(&self) -> Option<(f64, f64)> {
        let (now, ordinary) = (weight(&self.now), weight(&self.ordinary));
        if now < TOO_FEW || ordinary < TOO_FEW_ORDINARY {
            return None;
        }
        let expected = (self.ordinary_per_s / self.now_per_s.max(1e-9)).min(1.0);
        let excess = self.now.beyond(&self.ordinary, expected * now / ordinary);
        let known = LOOKS
            .iter()
            .filter_map(|attribute| excess.divergence(&self.ordinary, *attribute, TIMES));
        let (sum, count) = known.fold((0.0, 0.0), |(sum, n), bits| (sum + bits, n + 1.0));
        (count > 0.0).then(|| (sum / count, now * (1.0 - expected)))
    }

    /// How many clients are ordinary in a second, to keep.
    pub(crate) const fn ordinary_per_s(&self) -> f64 {
        self.ordinary_per_s
    }

    /// Takes in what was kept of that.
    pub(crate) const fn set_ordinary_per_s(&mut self, per_s: f64) {
        (self.ordinary_per_s, self.ordinary_s) = (per_s, ORDINARY_S);
    }

    /// What is ordinary, to keep.
    pub(crate) const fn ordinary(&self) -> &Composition {
        &self.ordinary
    }

    /// Takes in a value that was kept.
    pub(crate) fn restore(&mut self, attribute: Attribute, value: u32, weight: f32) {
        self.ordinary.put(attribute, value, weight);
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.now.heap_bytes() + self.ordinary.heap_bytes()
    }
}

/// Clients that are in it: of the attribute that is known of most.
fn weight(mix: &Composition) -> f64 {
    let weights = Composition::ATTRIBUTES.iter().map(|attribute| mix.weight(*attribute));
    weights.fold(0.0, f64::max)
}

fn add(mix: &mut Composition, clients: &[Attributes]) {
    for looks in clients {
        for (attribute, value) in looks.known() {
            mix.put(attribute, value, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(look: u32) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.set(Attribute::UserAgent, look);
        attributes
    }

    #[test]
    fn a_site_with_a_client_a_minute_knows_what_is_ordinary_after_some_hours() {
        let mut mix = Mix::new([1, 2], &[]);
        for minute in 0..300 {
            mix.take(&[client(1 + minute % 5)], 1.0, 60.0, true);
        }
        for _ in 0..4 {
            mix.take(&[client(99); 10], 1.0, 0.25, false);
        }
        assert!(mix.far_bits().is_some_and(|bits| bits > 0.5), "{:?}", mix.far_bits());
    }

    #[test]
    fn a_flood_is_out_of_the_mix_of_a_small_site_a_minute_after_its_end() {
        let mut mix = Mix::new([1, 2], &[]);
        for second in 0..3_600 {
            mix.take(&[client(1 + second % 5)], 1.0, 1.0, true);
        }
        for _ in 0..40 {
            mix.take(&[client(99); 250], 1.0, 0.25, false);
        }
        assert!(mix.far_bits().is_some_and(|bits| bits > 0.5), "{:?}", mix.far_bits());
        for second in 0..45 {
            mix.take(&[client(1 + second % 5)], 1.0, 1.0, false);
        }
        assert!(mix.far_bits().is_some_and(|bits| bits < 0.2), "{:?}", mix.far_bits());
    }

    #[test]
    fn a_busy_site_forgets_in_ten_minutes_what_is_not_there_any_more() {
        let mut mix = Mix::new([1, 2], &[]);
        let twenty =
            |first: u32| core::array::from_fn::<_, 20, _>(|at| client(first + at as u32 % 5));
        for _ in 0..1_200 {
            mix.take(&twenty(1), 1.0, 1.0, true);
        }
        for _ in 0..3_600 {
            mix.take(&twenty(11), 1.0, 1.0, true);
        }
        assert!(mix.far_bits().is_some_and(|bits| bits < 0.1), "{:?}", mix.far_bits());
        let ordinary = mix.ordinary();
        assert!(ordinary.share(Attribute::UserAgent, 1) < 0.01);
    }
}
