//! The rows of one sample, as sets of up to 64 things, and how many have which.
//!
//! One to three things are looked up in a table, more are intersected; the bitsets for that are made only
//! when somebody asks for more than three.

use alloc::vec;
use alloc::vec::Vec;

use seawall_model::{Attributes, Signature};

use super::conjunctions::{Conjunctions, MAX_THINGS};
use crate::bitset::Bitset;

/// Rows that look the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) mask: u64,
    pub(super) rows: u16,
}

/// One sample.
#[derive(Debug)]
pub(super) struct Side {
    /// What each row has.
    masks: Vec<u64>,
    /// The same, sorted.
    sorted: Vec<u64>,
    groups: Vec<Group>,
    /// Things that are in no conjunction.
    alone: u64,
    table: Conjunctions,
    /// Rows that have each thing; empty until [`Self::intersectable`].
    bits: Vec<Bitset>,
    has_bits: bool,
    scratch: Bitset,
    /// What is left when rows were taken out: groups, table and rows.
    rest_groups: Vec<Group>,
    rest_table: Conjunctions,
    rest: Bitset,
}

impl Side {
    pub(super) fn new(max_rows: usize) -> Self {
        Self {
            masks: Vec::with_capacity(max_rows),
            sorted: Vec::with_capacity(max_rows),
            groups: Vec::with_capacity(max_rows),
            alone: 0,
            table: Conjunctions::new(),
            bits: vec![Bitset::new(max_rows); MAX_THINGS],
            has_bits: false,
            scratch: Bitset::new(max_rows),
            rest_groups: Vec::with_capacity(max_rows),
            rest_table: Conjunctions::new(),
            rest: Bitset::new(max_rows),
        }
    }

    /// Takes `rows` in place of what was there; `mark` says what each has.
    pub(super) fn load(
        &mut self,
        rows: &[Attributes],
        alone: u64,
        mark: impl FnOnce(&[Attributes], &mut [u64]),
    ) {
        self.masks.clear();
        self.masks.resize(rows.len(), 0);
        mark(rows, &mut self.masks);
        self.alone = alone;
        self.has_bits = false;
        self.sorted.clear();
        self.sorted.extend(self.masks.iter().filter(|mask| **mask != 0));
        self.sorted.sort_unstable();
        self.groups.clear();
        self.table.clear();
        for run in self.sorted.chunk_by(|a, b| a == b) {
            let group = Group { mask: run[0], rows: run.len() as u16 };
            self.groups.push(group);
            self.table.add(group.mask, alone, group.rows);
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u32 {
        self.masks.len() as u32
    }

    /// Of each row whether it has all of `mask`.
    pub(super) fn having(&self, mask: u64) -> impl Iterator<Item = bool> + '_ {
        self.masks.iter().map(move |row| row & mask == mask)
    }

    /// The table of conjunctions of up to three.
    pub(super) fn table(&self) -> &Conjunctions {
        &self.table
    }

    /// Whether every row has the same things, and all of `mask` among them.
    pub(super) fn all_have(&self, mask: u64) -> bool {
        matches!(&self.groups[..], [group] if u32::from(group.rows) == self.rows() && group.mask & mask == mask)
    }

    /// How many rows have all of `mask`, at most five things. For more than three, [`Self::intersectable`]
    /// first.
    pub(super) fn count(&self, mask: u64) -> u32 {
        match mask.count_ones() {
            0 => self.rows(),
            1..=3 => u32::from(self.table.count(mask)),
            _ => {
                debug_assert!(self.has_bits, "bitsets are made before four things are asked for");
                let (mut sets, mut len) = ([&self.bits[0]; Signature::MAX_TERMS], 0);
                each_bit(mask, |thing| {
                    sets[len] = &self.bits[thing];
                    len += 1;
                });
                Bitset::shared_by_all(&sets[..len])
            }
        }
    }

    /// Makes the bitsets, so that any conjunction can be counted.
    pub(super) fn intersectable(&mut self) {
        if self.has_bits {
            return;
        }
        self.has_bits = true;
        self.bits.iter_mut().for_each(Bitset::clear);
        for (row, mask) in self.masks.iter().enumerate() {
            each_bit(*mask, |thing| self.bits[thing].insert(row));
        }
    }

    /// Makes the rows that have all of `mask` those that [`Self::also`] looks at.
    pub(super) fn narrow(&mut self, mask: u64) {
        self.scratch.copy_from(&self.bits[mask.trailing_zeros() as usize % MAX_THINGS]);
        each_bit(mask, |thing| self.scratch.intersect(&self.bits[thing]));
    }

    /// How many rows have `thing`, of those narrowed to.
    pub(super) fn also(&self, thing: usize) -> u32 {
        self.scratch.shared(&self.bits[thing])
    }

    /// Starts taking rows out: all are there.
    pub(super) fn restore(&mut self) {
        self.rest_groups.clear();
        self.rest_groups.extend_from_slice(&self.groups);
        self.rest_table.copy_from(&self.table);
        if self.has_bits {
            self.rest.fill(self.masks.len());
        }
    }

    /// Takes the rows that have all of `mask` out, and says how many there were.
    pub(super) fn take(&mut self, mask: u64) -> u32 {
        let mut taken = 0;
        let (table, alone) = (&mut self.rest_table, self.alone);
        self.rest_groups.retain(|group| {
            let is_met = group.mask & mask == mask;
            if is_met {
                taken += u32::from(group.rows);
                table.remove(group.mask, alone, group.rows);
            }
            !is_met
        });
        if self.has_bits {
            self.narrow(mask);
            self.rest.subtract(&self.scratch);
        }
        taken
    }

    /// How many rows that were not taken out have all of `mask`.
    pub(super) fn left(&mut self, mask: u64) -> u32 {
        if mask.count_ones() <= 3 {
            return u32::from(self.rest_table.count(mask));
        }
        self.narrow(mask);
        self.scratch.shared(&self.rest)
    }
}

/// Calls `found` with the place of each bit of `mask`, lowest first.
pub(super) fn each_bit(mask: u64, mut found: impl FnMut(usize)) {
    let mut rest = mask;
    while rest != 0 {
        found(rest.trailing_zeros() as usize);
        rest &= rest - 1;
    }
}
