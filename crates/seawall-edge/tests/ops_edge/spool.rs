use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use seawall_edge::spool::{Spool, SpoolBudget, SpoolError, SpoolWriter, SpooledBody};
use seawall_model::Cause;

const KIB: usize = 1024;
const ROOMY: SpoolBudget = SpoolBudget { memory_bytes: 1 << 20, disk_bytes: 1 << 24 };

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(work)
}

fn spool(dir: &Path, budget: SpoolBudget) -> Spool {
    Spool::open(dir, budget).expect("spool opens")
}

/// Bytes that tell their position, so that a swap or a gap shows.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 ^ (n / 251) as u8).collect()
}

async fn push_all(writer: &mut SpoolWriter, bytes: &[u8], piece: usize) -> Result<(), SpoolError> {
    for part in bytes.chunks(piece) {
        writer.push(Bytes::copy_from_slice(part)).await?;
    }
    Ok(())
}

async fn read(body: SpooledBody) -> Vec<u8> {
    body.collect().await.expect("content reads back").to_bytes().to_vec()
}

#[track_caller]
fn check_round_trip(length: usize, piece: usize, budget: SpoolBudget, on_disk: u64) {
    let dir = crate::temp_dir();
    let spool = spool(&dir.path().join("a/spool"), budget);
    run(async {
        let want = content(length);
        let mut writer = spool.writer(1 << 30);
        push_all(&mut writer, &want, piece).await.expect("content fits");
        assert_eq!(writer.received_bytes(), length as u64);
        let body = writer.finish(None).await.expect("content ends");
        assert_eq!(spool.disk_bytes(), on_disk, "{length} in pieces of {piece}");
        assert_eq!(body.size_hint().exact(), Some(length as u64));
        let again = body.replay();
        assert!(read(body).await == want, "{length} in pieces of {piece}");
        assert!(read(again.replay()).await == want && read(again).await == want);
    });
    assert_eq!((spool.memory_bytes(), spool.disk_bytes()), (0, 0), "everything is given back");
    let left = fs::read_dir(dir.path().join("a/spool")).expect("folder is there").count();
    assert_eq!(left, 0, "no file has a name");
}

#[test]
fn content_comes_back_as_it_went_in() {
    check_round_trip(0, 1, ROOMY, 0);
    check_round_trip(1, 1, ROOMY, 0);
    check_round_trip(64 * KIB, 1_000, ROOMY, 0);
    check_round_trip(64 * KIB + 1, 1_000, ROOMY, 64 * KIB as u64 + 1);
    check_round_trip(1_000_000, 16 * KIB, ROOMY, 1_000_000);
    check_round_trip(1_000_000, 1_000_000, ROOMY, 1_000_000);
    check_round_trip(300_000, 7, ROOMY, 300_000);
}

#[test]
fn without_memory_content_goes_to_disk_at_once() {
    let budget = SpoolBudget { memory_bytes: 0, ..ROOMY };
    check_round_trip(10_000, 1_000, budget, 10_000);
}

#[test]
fn exhausted_budget_refuses_one_upload_and_spares_others() {
    let dir = crate::temp_dir();
    let budget = SpoolBudget { memory_bytes: 128 * KIB as u64, disk_bytes: 200_000 };
    let spool = spool(dir.path(), budget);
    run(async {
        let mut first = spool.writer(1 << 30);
        push_all(&mut first, &content(190_000), 10_000).await.expect("there is room");
        let mut second = spool.writer(1 << 30);
        let error = push_all(&mut second, &content(190_000), 10_000).await.expect_err("no room");
        assert!(matches!(error, SpoolError::NoRoom), "{error}");
        assert_eq!(error.cause(), Cause::NoRoom);
        drop(second);
        assert_eq!(read(first.finish(None).await.expect("first ends")).await.len(), 190_000);
        let mut third = spool.writer(1 << 30);
        push_all(&mut third, &content(190_000), 10_000).await.expect("there is room again");
    });
}

#[test]
fn memory_stays_within_its_budget_however_many_upload() {
    let dir = crate::temp_dir();
    let budget = SpoolBudget { memory_bytes: 100_000, disk_bytes: 1 << 24 };
    let spool = spool(dir.path(), budget);
    run(async {
        let mut writers: Vec<_> = (0..50).map(|_| spool.writer(1 << 20)).collect();
        for _ in 0..10 {
            for writer in &mut writers {
                writer.push(Bytes::from(content(3_000))).await.expect("disk has room");
                assert!(spool.memory_bytes() <= 100_000);
            }
        }
    });
}

#[test]
fn content_beyond_its_bound_is_the_clients_doing() {
    let dir = crate::temp_dir();
    let spool = spool(dir.path(), ROOMY);
    run(async {
        let mut writer = spool.writer(1_000);
        push_all(&mut writer, &content(1_000), 100).await.expect("exactly the bound fits");
        let error = writer.push(Bytes::from_static(b"x")).await.expect_err("one too many");
        assert!(matches!(error, SpoolError::TooLarge { max_bytes: 1_000 }), "{error}");
        assert_eq!(error.cause(), Cause::BodyTooLarge);
    });
}

#[test]
fn trailers_follow_the_content() {
    let dir = crate::temp_dir();
    let spool = spool(dir.path(), ROOMY);
    run(async {
        let mut writer = spool.writer(1 << 20);
        writer.push(Bytes::from_static(b"abc")).await.expect("fits");
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-checksum"),
            HeaderValue::from_static("1"),
        )]);
        let body = writer.finish(Some(trailers.clone())).await.expect("ends");
        for body in [body.replay(), body] {
            assert!(!body.is_end_stream());
            let collected = body.collect().await.expect("reads");
            assert_eq!(collected.trailers(), Some(&trailers));
        }
    });
}

#[test]
fn leftovers_of_a_killed_process_are_removed_and_nothing_else() {
    let dir = crate::temp_dir();
    fs::write(dir.path().join("spool-00ff"), "old").expect("file");
    fs::write(dir.path().join("precious"), "mine").expect("file");
    spool(dir.path(), ROOMY);
    assert!(!dir.path().join("spool-00ff").exists());
    assert!(dir.path().join("precious").exists());
}

#[test]
fn a_lost_folder_is_an_error_of_its_own() {
    let dir = crate::temp_dir();
    let spool = spool(&dir.path().join("spool"), ROOMY);
    fs::remove_dir(dir.path().join("spool")).expect("folder goes");
    run(async {
        let mut writer = spool.writer(1 << 20);
        let error = writer.push(Bytes::from(content(100_000))).await.expect_err("no folder");
        assert!(matches!(error, SpoolError::Io(_)), "{error}");
    });
}

#[test]
fn full_disk_is_told_from_other_failures() {
    for (errno, full) in [(28, true), (122, true), (27, true), (5, false), (13, false)] {
        let error = SpoolError::from(std::io::Error::from_raw_os_error(errno));
        assert_eq!(matches!(error, SpoolError::DiskFull(_)), full, "errno {errno}");
    }
}
