//! The table: which variants are held under which key, and in which tier.
//!
//! Separate so that every question about what exists is answered under one short lock per shard,
//! and so that no lock here is ever held across IO. It does **not** evict by itself, read or write
//! files, or count bytes.
//!
//! A slot is found by the key's keyed 128-bit hash. The whole key is compared wherever an entry is
//! in memory, and by [`crate::Store::load`] where it is not: a collision is a miss, never
//! somebody else's page.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::entry::Entry;
use crate::head::Invalidation;
use crate::key::Key;
use crate::policy::RequestMeta;
use crate::store::memory::Residence;
use crate::store::tags;
use crate::vary::VaryKey;

pub(crate) struct Table {
    shards: Box<[RwLock<Shard>]>,
}

/// Newest variant first.
type Shard = HashMap<u128, Vec<Variant>, BuildHasherDefault<IdHasher>>;

struct Variant {
    /// Of the newest version; see [`Entry::serial`].
    serial: u64,
    vary: VaryKey,
    tags: Arc<[u64]>,
    /// Whether it is a 206: some bytes of a representation.
    is_part: bool,
    memory: Option<Arc<Entry>>,
    disk: Option<Slot>,
}

/// A variant's file.
struct Slot {
    file: FileRef,
    /// Whether it holds the newest content. Not between a refetch and its write.
    is_current: bool,
    /// Read since the last round of disk eviction.
    is_visited: AtomicBool,
}

/// A file on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRef {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
}

/// What a lookup found.
pub(crate) enum Found {
    Memory(Arc<Entry>),
    Disk { serial: u64, file: u64, bytes: u64 },
    Nothing,
    OtherVariants,
}

/// A variant that left the table; the caller settles its bytes and its file.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) memory: Option<Arc<Entry>>,
    pub(crate) file: Option<FileRef>,
}

/// The outcome of storing.
pub(crate) struct Put {
    pub(crate) entry: Arc<Entry>,
    /// Whether the entry needs a seat in the queues.
    pub(crate) is_new_residence: bool,
    pub(crate) displaced: Vec<Taken>,
}

/// The version is no longer in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotHeld;

/// Which files [`Table::take_file`] takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    IfOutdated,
    Always,
}

/// Whether disk eviction may have a file.
pub(crate) enum Verdict {
    /// Taken out of the table: unlink it.
    Evicted(FileRef),
    /// Popular: another round.
    Spared,
    /// It is no longer there.
    Gone,
}

/// A variant found in the folder at start.
pub(crate) struct Scanned {
    pub(crate) serial: u64,
    pub(crate) vary: VaryKey,
    pub(crate) tags: Arc<[u64]>,
    pub(crate) is_part: bool,
    pub(crate) file: FileRef,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect() }
    }

    fn shard(&self, id: u128) -> &RwLock<Shard> {
        // The map uses the low half, the shard the high one.
        &self.shards[(id >> 64) as usize % SHARDS]
    }

    /// RFC 9111 §4.1: of several that match, the newest. O(variants), 32 at most.
    pub(crate) fn find(&self, id: u128, key: &Key, request: &RequestMeta<'_>) -> Found {
        let shard = self.shard(id).read();
        let Some(variants) = shard.get(&id) else { return Found::Nothing };
        let mut outcome = Found::Nothing;
        for variant in variants {
            if !variant.is_of(key) {
                continue;
            }
            if !variant.vary.matches(request) {
                outcome = Found::OtherVariants;
                continue;
            }
            if let Some(entry) = &variant.memory {
                return Found::Memory(Arc::clone(entry));
            }
            if let Some(slot) = variant.disk.as_ref().filter(|slot| slot.is_current) {
                slot.is_visited.store(true, Ordering::Relaxed);
                return Found::Disk {
                    serial: variant.serial,
                    file: slot.file.number,
                    bytes: slot.file.bytes,
                };
            }
        }
        outcome
    }

    /// All variants of a key, wherever they lie.
    pub(crate) fn held(&self, id: u128, key: &Key) -> Vec<Found> {
        let shard = self.shard(id).read();
        let of_key = shard.get(&id).into_iter().flatten().filter(|variant| variant.is_of(key));
        let found = of_key.filter_map(|variant| match (&variant.memory, &variant.disk) {
            (Some(entry), _) => Some(Found::Memory(Arc::clone(entry))),
            (None, Some(slot)) => Some(Found::Disk {
                serial: variant.serial,
                file: slot.file.number,
                bytes: slot.file.bytes,
            }),
            (None, None) => None,
        });
        found.collect()
    }

    /// What was done to the variant that a response with this `vary` would replace, if that is in
    /// memory.
    pub(crate) fn invalidation(&self, id: u128, key: &Key, vary: &VaryKey) -> Invalidation {
        let shard = self.shard(id).read();
        let of_key = shard.get(&id).into_iter().flatten().filter(|variant| variant.is_of(key));
        let mut old = of_key.filter(|variant| variant.vary == *vary);
        let entry = old.find_map(|variant| variant.memory.as_ref());
        entry.map_or(Invalidation::Never, |entry| entry.head.invalidation)
    }

    /// Stores an entry in memory. `build` makes it anew around the seat of the one it replaces.
    /// `None` if `is_current` says no, asked under the lock that a purge takes later, or if it is a
    /// part of what is held whole.
    pub(crate) fn put(
        &self,
        id: u128,
        entry: Arc<Entry>,
        build: impl FnOnce(Arc<Residence>) -> Arc<Entry>,
        is_current: impl FnOnce() -> bool,
    ) -> Option<Put> {
        let mut shard = self.shard(id).write();
        if !is_current() {
            return None;
        }
        let variants = shard.entry(id).or_insert_with(|| Vec::with_capacity(1));
        let vary = &entry.head.vary;
        let is_for_all = vary.entries().len() == 0;
        // Who asks for a byte range must not take the page from everybody else.
        let holds_whole = |old: &Variant| {
            !old.is_part && old.is_of(&entry.key) && (is_for_all || old.vary == *vary)
        };
        if entry.head.partial.is_some() && variants.iter().any(holds_whole) {
            return None;
        }
        let old = variants.iter().position(|old| old.is_of(&entry.key) && old.vary == *vary);
        let old = old.map(|at| variants.remove(at));
        let mut displaced = Vec::new();
        if is_for_all {
            // It answers every request, so nothing older is kept. RFC 9111 §4.1 would rather have an
            // older one with a matching Vary chosen; but an origin that has stopped to vary would
            // then be represented by its past for as long as stale answers are allowed.
            let (key, all) = (&entry.key, std::mem::take(variants));
            for variant in all {
                if variant.is_of(key) {
                    displaced.push(variant.into_taken());
                } else {
                    variants.push(variant);
                }
            }
        }
        while variants.len() >= MAX_VARIANTS {
            displaced.extend(variants.pop().map(Variant::into_taken));
        }
        let (old_memory, disk) = old.map_or((None, None), |old| (old.memory, old.disk));
        let is_new_residence = old_memory.is_none();
        let entry = match &old_memory {
            Some(old) => build(Arc::clone(&old.residence)),
            None => entry,
        };
        if let Some(old) = old_memory {
            old.forms().leave_memory();
        }
        entry.forms().enter_memory(entry.overhead());
        let disk = disk.map(|slot| Slot { is_current: false, ..slot });
        variants.insert(0, Variant::in_memory(&entry, disk));
        Some(Put { entry, is_new_residence, displaced })
    }

    /// Replaces `old` by a version with the same content; `None` if `old` is no longer the newest.
    pub(crate) fn refresh(
        &self,
        id: u128,
        old: &Arc<Entry>,
        build: impl FnOnce(Arc<Residence>) -> Arc<Entry>,
    ) -> Option<Put> {
        let mut shard = self.shard(id).write();
        let variant = shard.get_mut(&id)?.iter_mut().find(|variant| match &variant.memory {
            Some(current) => Arc::ptr_eq(current.forms(), old.forms()),
            None => variant.serial == old.serial,
        })?;
        let is_new_residence = variant.memory.is_none();
        let residence = match &variant.memory {
            Some(current) => Arc::clone(&current.residence),
            None => Residence::new(id),
        };
        let entry = build(residence);
        entry.forms().enter_memory(entry.overhead());
        // The file keeps the older head until it is rewritten, which is stale sooner but not wrong.
        let disk = variant.disk.take();
        *variant = Variant::in_memory(&entry, disk);
        Some(Put { entry, is_new_residence, displaced: Vec::new() })
    }

    /// Puts what was read from disk into memory, if it is still wanted. A reader who was faster
    /// wins.
    pub(crate) fn promote(
        &self,
        id: u128,
        entry: &Arc<Entry>,
        file: u64,
    ) -> Option<(Arc<Entry>, bool)> {
        let mut shard = self.shard(id).write();
        let variant = shard.get_mut(&id)?.iter_mut().find(|variant| {
            variant.serial == entry.serial
                && variant.disk.as_ref().is_some_and(|slot| slot.file.number == file)
        })?;
        if let Some(present) = &variant.memory {
            return Some((Arc::clone(present), false));
        }
        entry.forms().enter_memory(entry.overhead());
        variant.memory = Some(Arc::clone(entry));
        Some((Arc::clone(entry), true))
    }

    /// The entry of a variant if it is in memory and still of this version.
    pub(crate) fn current(&self, id: u128, serial: u64) -> Option<Arc<Entry>> {
        let shard = self.shard(id).read();
        let variant = shard.get(&id)?.iter().find(|variant| variant.serial == serial)?;
        variant.memory.clone()
    }

    /// The newest version that shares content with `entry`.
    pub(crate) fn successor(&self, id: u128, entry: &Entry) -> Option<Arc<Entry>> {
        let shard = self.shard(id).read();
        shard
            .get(&id)?
            .iter()
            .filter_map(|variant| variant.memory.as_ref())
            .find(|current| Arc::ptr_eq(current.forms(), entry.forms()))
            .cloned()
    }

    /// What is known of the variant of this version: `None` if it was purged or replaced, else its
    /// file, if it has one.
    pub(crate) fn file_of(&self, id: u128, serial: u64) -> Option<Option<FileRef>> {
        let shard = self.shard(id).read();
        let variant = shard.get(&id)?.iter().find(|variant| variant.serial == serial)?;
        Some(variant.disk.as_ref().map(|slot| slot.file))
    }

    /// Notes that a version lies in `file`, and returns what its file was before. `Err`: the
    /// version is no longer held, and the file is nobody's. Called under the disk gate.
    pub(crate) fn note_written(
        &self,
        id: u128,
        serial: u64,
        file: FileRef,
    ) -> Result<Option<FileRef>, NotHeld> {
        let mut shard = self.shard(id).write();
        let variants = shard.get_mut(&id).ok_or(NotHeld)?;
        let is_same = |variant: &&mut Variant| {
            variant.disk.as_ref().is_some_and(|slot| slot.file.number == file.number)
        };
        if let Some(variant) = variants.iter_mut().find(|variant| variant.serial == serial) {
            let slot = Slot { file, is_current: true, is_visited: AtomicBool::new(false) };
            return Ok(variant.disk.replace(slot).map(|old| old.file));
        }
        // Replaced this very moment: its successor inherited the file and will rewrite it.
        let successor = variants.iter_mut().find(is_same).ok_or(NotHeld)?;
        let slot = successor.disk.as_mut().ok_or(NotHeld)?;
        Ok(Some(std::mem::replace(&mut slot.file, file)))
    }

    /// Whether a variant still has this file.
    pub(crate) fn has_file(&self, id: u128, number: u64) -> bool {
        let shard = self.shard(id).read();
        let has = |variant: &Variant| {
            variant.disk.as_ref().is_some_and(|slot| slot.file.number == number)
        };
        shard.get(&id).is_some_and(|variants| variants.iter().any(has))
    }

    /// Takes a variant's file, keeping what is in memory.
    pub(crate) fn take_file(&self, id: u128, serial: u64, only: Only) -> Option<FileRef> {
        let mut shard = self.shard(id).write();
        let variants = shard.get_mut(&id)?;
        let at = variants.iter().position(|variant| variant.serial == serial)?;
        let slot = variants[at].disk.take_if(|slot| only == Only::Always || !slot.is_current)?;
        if variants[at].memory.is_none() {
            remove_at(&mut shard, id, at);
        }
        Some(slot.file)
    }

    /// Takes an entry out of memory for eviction; with its file left, it can be found again.
    pub(crate) fn evict(&self, victim: &Arc<Residence>) -> Option<Arc<Entry>> {
        let mut shard = self.shard(victim.id).write();
        let variants = shard.get_mut(&victim.id)?;
        let at = variants.iter().position(|variant| variant.sits_on(victim))?;
        let entry = variants[at].memory.take();
        // A queued write of it then finds its variant gone: what memory let go so soon is not worth
        // a file.
        if variants[at].disk.is_none() {
            remove_at(&mut shard, victim.id, at);
        }
        entry
    }

    /// Drops the decoded identity form of a seat's entry.
    pub(crate) fn shed(&self, residence: &Arc<Residence>) {
        let shard = self.shard(residence.id).read();
        let Some(variants) = shard.get(&residence.id) else { return };
        let entry = variants
            .iter()
            .filter(|variant| variant.sits_on(residence))
            .find_map(|variant| variant.memory.as_ref());
        if let Some(entry) = entry {
            entry.forms().shed_identity();
        }
    }

    /// Asks whether disk eviction may have this file, and takes it out if so.
    pub(crate) fn judge_file(&self, id: u128, number: u64, may_spare: Spare) -> Verdict {
        let mut shard = self.shard(id).write();
        let Some(variants) = shard.get_mut(&id) else { return Verdict::Gone };
        let has_file = |variant: &Variant| {
            variant.disk.as_ref().is_some_and(|slot| slot.file.number == number)
        };
        let Some(at) = variants.iter().position(has_file) else { return Verdict::Gone };
        let variant = &mut variants[at];
        let is_visited = variant
            .disk
            .as_ref()
            .is_some_and(|slot| slot.is_visited.swap(false, Ordering::Relaxed));
        let is_warm = variant.memory.as_ref().is_some_and(|entry| entry.residence.is_warm());
        if may_spare == Spare::Popular && (is_visited || is_warm) {
            return Verdict::Spared;
        }
        let slot = variant.disk.take();
        if variant.memory.is_none() {
            remove_at(&mut shard, id, at);
        }
        slot.map_or(Verdict::Gone, |slot| Verdict::Evicted(slot.file))
    }

    /// Adds what a scan found; the file to delete if this or an older one is not needed.
    pub(crate) fn add_scanned(&self, id: u128, found: Scanned) -> Vec<FileRef> {
        let mut shard = self.shard(id).write();
        let variants = shard.entry(id).or_default();
        let slot = Slot { file: found.file, is_current: true, is_visited: AtomicBool::new(false) };
        variants.push(Variant {
            serial: found.serial,
            vary: found.vary,
            tags: found.tags,
            is_part: found.is_part,
            memory: None,
            disk: Some(slot),
        });
        variants.sort_by_key(|variant| std::cmp::Reverse(variant.serial));
        // A crash may have left what a newer response displaced.
        let mut kept: Vec<Variant> = Vec::with_capacity(variants.len());
        let mut surplus = Vec::new();
        for variant in variants.drain(..) {
            let is_hidden = kept.len() == MAX_VARIANTS
                || kept
                    .iter()
                    .any(|newer| newer.vary.entries().len() == 0 || newer.vary == variant.vary);
            if is_hidden {
                surplus.extend(variant.disk.map(|slot| slot.file));
            } else {
                kept.push(variant);
            }
        }
        *variants = kept;
        surplus
    }

    /// Takes the variant that a response with this `vary` would replace.
    pub(crate) fn take_variant(&self, id: u128, key: &Key, vary: &VaryKey) -> Vec<Taken> {
        self.take_where(id, |variant| variant.is_of(key) && variant.vary == *vary)
    }

    /// Takes all variants of a key.
    pub(crate) fn take_key(&self, id: u128, key: &Key) -> Vec<Taken> {
        self.take_where(id, |variant| variant.is_of(key))
    }

    fn take_where(&self, id: u128, mut is_wanted: impl FnMut(&Variant) -> bool) -> Vec<Taken> {
        let mut shard = self.shard(id).write();
        let Some(variants) = shard.get_mut(&id) else { return Vec::new() };
        let taken = variants.extract_if(.., |variant| is_wanted(variant));
        let taken = taken.map(Variant::into_taken).collect();
        if variants.is_empty() {
            shard.remove(&id);
        }
        taken
    }

    /// Takes every variant with a tag. O(entries).
    pub(crate) fn take_tagged(&self, tag: u64) -> Vec<Taken> {
        self.take_everywhere(|variant| tags::has(&variant.tags, tag))
    }

    /// Takes everything.
    pub(crate) fn take_all(&self) -> Vec<Taken> {
        self.take_everywhere(|_| true)
    }

    fn take_everywhere(&self, is_wanted: impl Fn(&Variant) -> bool) -> Vec<Taken> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            shard.write().retain(|_, variants| {
                let gone = variants.extract_if(.., |variant| is_wanted(variant));
                taken.extend(gone.map(Variant::into_taken));
                !variants.is_empty()
            });
        }
        taken
    }

    /// Keys, and entries in memory.
    pub(crate) fn count(&self) -> (u64, u64) {
        let (mut keys, mut in_memory) = (0, 0);
        for shard in &self.shards {
            let shard = shard.read();
            keys += shard.len() as u64;
            let memory = |variant: &&Variant| variant.memory.is_some();
            in_memory += shard.values().flatten().filter(memory).count() as u64;
        }
        (keys, in_memory)
    }
}

/// Whether [`Table::judge_file`] may give a popular file another round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spare {
    Popular,
    Nobody,
}

impl Variant {
    fn in_memory(entry: &Arc<Entry>, disk: Option<Slot>) -> Self {
        Self {
            serial: entry.serial,
            vary: entry.head.vary.clone(),
            tags: Arc::clone(entry.tags()),
            is_part: entry.head.partial.is_some(),
            memory: Some(Arc::clone(entry)),
            disk,
        }
    }

    /// Whether it is of this key, as far as that is known without reading the file.
    fn is_of(&self, key: &Key) -> bool {
        self.memory.as_ref().is_none_or(|entry| entry.key == *key)
    }

    fn sits_on(&self, residence: &Arc<Residence>) -> bool {
        self.memory.as_ref().is_some_and(|entry| Arc::ptr_eq(&entry.residence, residence))
    }

    fn into_taken(self) -> Taken {
        Taken { memory: self.memory, file: self.disk.map(|slot| slot.file) }
    }
}

fn remove_at(shard: &mut Shard, id: u128, at: usize) {
    if let Some(variants) = shard.get_mut(&id) {
        variants.remove(at);
        if variants.is_empty() {
            shard.remove(&id);
        }
    }
}

/// The ids are keyed hashes of what clients send: hashing them again would add nothing.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

/// Variants under one key; the oldest goes beyond. An origin that varies on User-Agent makes more,
/// and each more is hit less.
const MAX_VARIANTS: usize = 32;
/// With two workers a shard is found taken about never; 64 serve 64 cores.
const SHARDS: usize = 64;
/// What an entry on disk costs in memory: a variant (about 100 bytes), its slots in the table and
/// in the eviction queue, and what the allocator adds.
pub(crate) const INDEX_BYTES: u64 = 256;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderMap;
    use seawall_model::{CookieClass, Method, WallTime};

    use super::{Found, Table};
    use crate::adversary::check_spread;
    use crate::entry::{Entry, Forms, Ledger};
    use crate::freshness::{Freshness, StaleRule};
    use crate::head::{FilledUnder, Invalidation, MapFields, StoredHead};
    use crate::key::{HashSeed, Key, Scheme};
    use crate::policy::RequestMeta;
    use crate::store::memory::Residence;
    use crate::vary::VaryKey;

    fn entry(path: &str, id: u128) -> Arc<Entry> {
        let head = StoredHead {
            status: 200,
            headers: HeaderMap::new(),
            request_time: WallTime::default(),
            response_time: WallTime::default(),
            vary: VaryKey::default(),
            freshness: Freshness {
                lifetime_s: 1,
                initial_age_s: 0,
                stale_while_revalidate_s: 0,
                stale_if_error_s: 0,
                stale: StaleRule::Allowed,
                no_cache: false,
                immutable: false,
            },
            filled_under: FilledUnder::Explicit,
            partial: None,
            invalidation: Invalidation::Never,
        };
        let ledger = Arc::new(Ledger::new(1_000_000));
        let body = Bytes::copy_from_slice(path.as_bytes());
        let forms = Arc::new(Forms::from_origin(&head.headers, body, ledger));
        let key = Key::new(Scheme::Http, "h", path.as_bytes(), None);
        Arc::new(Entry::new(key, head, forms, Arc::new([]), Residence::new(id), 1))
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let place = |seed: u8, number: u64| {
            let path = format!("/page-{number}");
            let key = Key::new(Scheme::Https, "example.org", path.as_bytes(), None);
            key.hash128(&HashSeed([seed; 16]))
        };
        // The low half is what the map hashes by, and the high one chooses the shard.
        check_spread(
            |number| place(1, number) as u64 & 1_023,
            |number| place(3, number) as u64 & 1_023,
        );
        check_spread(
            |number| (place(1, number) >> 64) as u64 & 1_023,
            |number| (place(3, number) >> 64) as u64 & 1_023,
        );
    }

    #[test]
    fn keys_whose_hashes_collide_never_answer_for_each_other() {
        let table = Table::new();
        let (id, fields) = (7, HeaderMap::new());
        let fields = MapFields(&fields);
        let request =
            RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
        let put = |path: &str| {
            let entry = entry(path, id);
            let put = table.put(id, Arc::clone(&entry), |_| unreachable!("none replaced"), || true);
            assert_eq!(put.expect("current").displaced.len(), 0, "{path} displaced another key");
            entry
        };
        let (one, two) = (put("/one"), put("/two"));
        for held in [&one, &two] {
            let Found::Memory(found) = table.find(id, &held.key, &request) else {
                panic!("{held:?} is held")
            };
            assert_eq!(found.key, held.key);
        }
        let other = entry("/three", id);
        assert!(matches!(table.find(id, &other.key, &request), Found::Nothing));
        assert_eq!(table.take_key(id, &one.key).len(), 1);
        assert!(matches!(table.find(id, &two.key, &request), Found::Memory(_)));
    }
}
