//! Seawall: keeps a website readable under a DDoS attack.
//!
//! This crate is the binary: the command line, the configuration file, the terminal. Everything
//! that touches a network lives in `seawall-edge`, everything that decides in the pure crates; this
//! one only translates what a person wrote into typed values, and answers into text. Read next:
//! `cli` for the commands, `config` for the file.
#![forbid(unsafe_code)]

mod admin;
mod archive;
mod check;
mod cli;
mod config;
mod demo;
mod explain;
mod figures;
mod mitigate;
mod output;
mod pass;
mod pieces;
mod purge;
mod replay;
mod report;
mod selftest;
mod serve;
mod status;
mod target;
mod times;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ServeArgs};
use crate::output::Failure;

fn main() -> ExitCode {
    let Cli { config, command } = Cli::parse();
    let done = match command {
        Command::Serve(args) => serve::run(config.as_deref(), args),
        Command::Check(args) => check::run(config, args),
        Command::Status(args) => status::run(config.as_deref(), &args),
        Command::Purge(args) => purge::run(config.as_deref(), &args),
        Command::Pass(args) => pass::run(config.as_deref(), &args),
        Command::Archive(args) => archive::run(config.as_deref(), &args),
        Command::Report(args) => report::run(config.as_deref(), &args),
        Command::Mitigate(args) => mitigate::run(config.as_deref(), &args),
        Command::Verify(args) => verify::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(config.as_deref(), &args),
        Command::Demo(args) => return demo::finish(demo::run(args)),
        Command::Selftest(args) => selftest::run(&args),
        Command::Rehearse { role } => {
            let shield = || end(serve::run(config.as_deref(), ServeArgs::default()));
            return demo::finish(demo::rehearse_child(role, shield));
        }
    };
    end(done)
}

/// Prints what is left to say and picks the exit code.
fn end(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Every command ends in success or in a failure that prints itself.
type Done = Result<(), Failure>;
