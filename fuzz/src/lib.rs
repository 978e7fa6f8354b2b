//! What the fuzz targets check, one module per crate.
//!
//! Separate from the targets so that ordinary tests can replay the corpora: each function takes any
//! bytes and panics if a property does not hold.

pub mod archive;
pub mod cache;
pub mod report;
pub mod wire;
