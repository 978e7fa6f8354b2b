//! What surrounds the serving code: counters, log, operator's door, certificates, spool.
//!
//! One binary for all, because linking the cryptography once is enough.
#![forbid(unsafe_code)]

mod access_log;
mod admin;
mod cdn_hint;
mod metrics;
mod spool;
mod systemd;
mod tls;

/// Compares with a golden file; `UPDATE_EXPECT=1` rewrites it instead.
#[track_caller]
fn check_golden(name: &str, got: &str) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ops_edge/golden").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, got).expect("golden file is writable");
        return;
    }
    let want = std::fs::read_to_string(&path).expect("golden file exists");
    assert_eq!(got, want, "{name} changed; if that is meant, run with UPDATE_EXPECT=1");
}

/// A folder that is gone after the test.
fn temp_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary folder")
}
