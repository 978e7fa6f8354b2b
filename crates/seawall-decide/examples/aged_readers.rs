//! Credentials of readers who have been known for long, for `cargo xtask bench admission`.
//!
//! `aged_readers SECRET SINCE COUNT`: the secret of an instance as its key file has it, in
//! hexadecimal, and seconds since 1970.
#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::env;

use seawall_decide::CredentialKeys;
use seawall_model::WallTime;

fn main() {
    let mut arguments = env::args().skip(1);
    let secret = arguments.next().unwrap_or_default();
    let mut number = || arguments.next().and_then(|number| number.parse().ok());
    let since = number().expect("the second argument is a time");
    let count = number().unwrap_or(1);
    let secret = unhex(&secret).expect("the first argument is 64 hexadecimal digits");
    let keys = CredentialKeys::new(&secret, None);
    for number in 0..count {
        println!("{}", keys.for_reader(WallTime::from_unix_secs(since), number).as_str());
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    let bytes = bytes.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<_>>>()?;
    bytes.try_into().ok()
}
