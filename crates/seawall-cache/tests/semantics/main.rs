//! What a shared cache may do, case by case: every rule of RFC 9111 and its relatives that this
//! crate implements, as data. One binary, one module for each group of rules.

mod conditional;
pub mod corpus;
mod freshness;
mod properties;
mod ranges;
mod request;
mod status_line;
mod storing;
mod support;
mod update;
