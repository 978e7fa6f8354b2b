//! Making the file of an index shorter when it is opened.
//!
//! Separate because it is about the library's file and knows nothing of what is in it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use redb::Database;

/// Gives the disk back what a small file has too much of, before anybody waits for it: each change writes
/// anew what it touches, so that one of many URLs, as packing is, leaves as much free as is of use. `None` if
/// the library has to open it again.
///
/// Of a large one it is left: finding out how much that is means reading all of it, a restart must not wait
/// for that, and the next changes use it.
pub(super) fn trimmed(mut database: Database, path: &Path) -> Option<Database> {
    // Its length says less: the library makes a file that is full twice as long at once.
    let bytes = std::fs::metadata(path).ok()?.blocks() * 512;
    if bytes > TRIMMED_UP_TO {
        return Some(database);
    }
    let stats = database.begin_write().ok()?.stats().ok()?;
    // Allocated are, after a kill, also those that its last changes left.
    let pages = stats.leaf_pages() + stats.branch_pages();
    let used = pages.saturating_mul(stats.page_size() as u64);
    if bytes.saturating_sub(used) >= WORTH_TRIMMING {
        database.compact().ok()?;
    }
    Some(database)
}

/// The index of some 80,000 URLs, which is read in a tenth of a second.
const TRIMMED_UP_TO: u64 = 64 << 20;

/// Less is not worth writing for.
const WORTH_TRIMMING: u64 = 1 << 20;
