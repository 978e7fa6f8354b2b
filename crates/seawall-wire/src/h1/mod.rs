//! HTTP/1: what `http1` in the crate root exports.

pub(crate) mod body;
pub(crate) mod field;
pub(crate) mod head;
pub(crate) mod parse;
pub(crate) mod target;
pub(crate) mod view;
