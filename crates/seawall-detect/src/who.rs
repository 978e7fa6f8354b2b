//! Clients of a sample as small numbers, so that how many made what is a matter of bits.
//!
//! By address (a /32 of IPv4, a /64 of IPv6) and not by credential: those cost nothing to make, and what is
//! asked is how many places something comes from. It deliberately does **not** keep a number for somebody from
//! one sample to the next.

use alloc::vec::Vec;

use seawall_model::Observation;

/// Who made each row of a sample. Memory is taken once.
#[derive(Debug)]
pub(crate) struct Who {
    /// Client and row, to be sorted.
    order: Vec<(u128, u16)>,
    numbers: Vec<u16>,
}

impl Who {
    /// Room for `max_rows`, at most 65,536.
    pub(crate) fn new(max_rows: usize) -> Self {
        Self { order: Vec::with_capacity(max_rows), numbers: Vec::with_capacity(max_rows) }
    }

    /// Takes `rows` in place of what was there. O(rows log rows), whatever addresses somebody chose.
    pub(crate) fn load<'a>(&mut self, rows: impl Iterator<Item = &'a Observation>) {
        self.order.clear();
        self.order.extend((0..=u16::MAX).zip(rows).map(|(row, it)| (it.client.identity(), row)));
        self.order.sort_unstable();
        self.numbers.clear();
        self.numbers.resize(self.order.len(), 0);
        for (number, of_one) in self.order.chunk_by(|one, other| one.0 == other.0).enumerate() {
            for (_, row) in of_one {
                self.numbers[usize::from(*row)] = number as u16;
            }
        }
    }

    /// Of each row the number of its client: those of the sample from 0 on, without gaps.
    pub(crate) fn numbers(&self) -> &[u16] {
        &self.numbers
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.order.capacity() * size_of::<(u128, u16)>()
            + self.numbers.capacity() * size_of::<u16>()
    }
}
