//! What benches of several rows have in common: their flags, the rows that are wanted, and what becomes of the figures.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Outcome;
use crate::process::{build_seawall, write};
use crate::table::{Line, Table};

use super::admission::conditions;

/// What the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Flags {
    only: Option<String>,
    check: bool,
    json: bool,
    program: Option<PathBuf>,
}

/// A flag that wants a number of this range, and where it is put.
pub(super) type Number<'a> = (&'a str, RangeInclusive<u64>, &'a mut u64);

/// A row and what measures it with `S`.
pub(super) type Row<S> = (&'static str, fn(&S) -> Outcome<Vec<Line>>);

impl Flags {
    /// Reads the flags of `bench`.
    ///
    /// # Errors
    /// When there is one that it does not know, or that wants something else.
    pub(super) fn read<S>(
        bench: &str,
        rows: &[Row<S>],
        numbers: &mut [Number<'_>],
        arguments: &[String],
    ) -> Outcome<Self> {
        let mut flags = Self::default();
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if let Some((_, range, number)) = numbers.iter_mut().find(|it| it.0 == flag) {
                let value = rest.next().and_then(|value| value.parse().ok());
                let value = value.filter(|value| range.contains(value));
                let wants =
                    || format!("`{flag}` wants a number from {} to {}", range.start(), range.end());
                **number = value.ok_or_else(wants)?;
                continue;
            }
            match flag.as_str() {
                "--only" => {
                    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
                    let named = rest.next().filter(|name| names.contains(&name.as_str()));
                    let wants = || format!("`--only` wants one of {}", names.join(", "));
                    flags.only = Some(named.cloned().ok_or_else(wants)?);
                }
                "--program" => {
                    let program = rest.next();
                    let program = program.ok_or("`--program` wants the path of a built seawall")?;
                    flags.program = Some(PathBuf::from(program));
                }
                "--check" => flags.check = true,
                "--json" => flags.json = true,
                other => return Err(format!("bench {bench} does not know `{other}`")),
            }
        }
        Ok(flags)
    }

    /// Whether a row is to be measured.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }

    /// The built product: the one that was named, else one that is built now.
    ///
    /// # Errors
    /// When it does not build.
    pub(super) fn program(&self, root: &Path) -> Outcome<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => build_seawall(root),
        }
    }

    /// Measures the rows that are wanted, prints the figures and writes them into `folder`.
    ///
    /// # Errors
    /// When a row cannot be measured, and with `--check` when a bar is missed.
    pub(super) fn measure<S>(&self, rows: &[Row<S>], scene: &S, folder: &Path) -> Outcome {
        let mut table = Table::default();
        for (name, row) in rows.iter().filter(|(name, _)| self.wants(name)) {
            eprintln!("measuring {name}");
            table.extend(name, row(scene).map_err(|error| format!("{name}: {error}"))?);
        }
        let conditions = conditions();
        let result = json!({ "conditions": conditions, "rows": table.json() });
        write(&folder.join("result.json"), &format!("{result:#}\n"))?;
        if self.json {
            eprintln!("{table}");
            println!("{result:#}");
        } else {
            println!("{conditions}\n{table}");
        }
        match table.missed() {
            0 => Ok(()),
            missed if self.check => Err(format!("{missed} bars are missed")),
            missed => {
                eprintln!("{missed} bars are missed");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome<(Flags, u64)> {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let mut hours = 9;
        let rows: [Row<()>; 2] = [("incident", |()| Ok(Vec::new())), ("cost", |()| Ok(Vec::new()))];
        let numbers = &mut [("--hours", 1..=24, &mut hours)];
        let flags = Flags::read("record", &rows, numbers, &arguments)?;
        Ok((flags, hours))
    }

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let (found, hours) = read("--only incident --hours 2 --check").expect("these exist");
        assert_eq!((found.only.as_deref(), hours), (Some("incident"), 2));
        assert!(found.check && !found.json && found.wants("incident") && !found.wants("cost"));
        let (found, hours) = read("").expect("nothing is asked for");
        assert!(hours == 9 && found.wants("incident") && found.wants("cost"));
        for wrong in ["--only", "--only all", "--hours 0", "--hours 25", "--hours", "--speed"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
