//! What the store's two threads do.
//!
//! The packer makes compressed forms, the writer all writing to disk, each one thing at a time.
//! Separate from the store so that it is plain who runs where. They do **not** share a thread: a
//! slow disk must not hold up compression, nor the other way round.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::entry::Entry;
use crate::store::Shared;
use crate::store::table::FileRef;

/// Work for the writer.
pub(crate) enum Write {
    /// Write this version of an entry.
    Entry { entry: Arc<Entry>, id: u128 },
    /// Unlink a file that a newer response displaced.
    Unlink(FileRef),
    /// Delete what a purge of everything left behind.
    Rubble,
}

/// The packer thread.
pub(crate) fn pack(shared: &Shared) {
    let one = |entry: Arc<Entry>| {
        entry.forms().pack();
        shared.counters.packed.fetch_add(1, Ordering::Relaxed);
        shared.make_room();
        // On disk it lies in its compressed forms from now on; so does it after a restart.
        let id = entry.residence.id;
        if let Some(current) = shared.table.successor(id, &entry) {
            shared.schedule_rewrite(&current, id);
        }
    };
    shared.pack_queue.run(one, || note_panic(shared));
}

/// The writer thread.
pub(crate) fn write(shared: &Shared) {
    shared.write_queue.run(|job| write_one(shared, job), || note_panic(shared));
}

/// One piece of the writer's work. Run by others, in need, for all but [`Write::Entry`].
pub(crate) fn write_one(shared: &Shared, job: Write) {
    let Some(disk) = &shared.disk else { return };
    match job {
        Write::Entry { entry, id } => disk.write(shared, &entry, id),
        Write::Unlink(file) => {
            shared.note_unlink(disk.unlink(&file));
        }
        Write::Rubble => disk.remove_rubble(),
    }
}

fn note_panic(shared: &Shared) {
    shared.counters.worker_panics.fetch_add(1, Ordering::Relaxed);
}
