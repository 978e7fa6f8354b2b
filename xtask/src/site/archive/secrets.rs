//! What must not be found, and where it is looked for.
//!
//! grep does the looking: there are dozens of texts, and more than a hundred megabytes of pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::process::{bound, write};

/// Texts that only an editor, or a reader with a password, may see.
pub(super) struct Secrets {
    texts: Vec<String>,
    folder: PathBuf,
}

/// A shorter one may stand anywhere by chance.
const SHORTEST: usize = 8;

impl Secrets {
    /// None yet. Files are put into `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { texts: Vec::new(), folder: folder.to_path_buf() }
    }

    /// Adds one, if it is long enough to be told from chance.
    pub(super) fn add(&mut self, text: &str) {
        if text.len() >= SHORTEST && !self.texts.iter().any(|known| known == text) {
            self.texts.push(text.to_owned());
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Those that stand in any of `parts`.
    ///
    /// # Errors
    /// When a file cannot be written or looked into.
    pub(super) fn within<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Outcome<Vec<String>> {
        let file = self.folder.join("searched");
        let whole = parts.collect::<Vec<_>>().join(&b"\n"[..]);
        fs::write(&file, whole)
            .map_err(|error| format!("cannot write `{}`: {error}", file.display()))?;
        self.found_by("cat \"$0\"", &file)
    }

    /// Looks into every file below `folder` as it is, and into what is packed in it; what was found, with
    /// its file, and how many files it was.
    ///
    /// # Errors
    /// When something cannot be read or unpacked.
    pub(super) fn below(&self, folder: &Path) -> Outcome<(Vec<String>, usize)> {
        let (mut found, mut files) = (Vec::new(), 0);
        let entries = fs::read_dir(folder)
            .map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                let (more, read) = self.below(&path)?;
                found.extend(more);
                files += read;
            } else if path.is_file() {
                files += 1;
                for way in ways(&path)? {
                    let within = self.found_by(way, &path)?;
                    found.extend(within.iter().map(|text| format!("{text} in {}", path.display())));
                }
            }
        }
        Ok((found, files))
    }

    /// What stands in what `way` makes of a file.
    fn found_by(&self, way: &str, file: &Path) -> Outcome<Vec<String>> {
        let patterns = self.folder.join("patterns");
        write(&patterns, &self.texts.join("\n"))?;
        // grep ends with 1 if there is nothing to be found, and with more if it could not look.
        let script = format!("{way} | LC_ALL=C grep -a -o -F -f \"$1\"; test $? -le 1");
        let said = output_of(bound("sh").args(["-c", &script]).arg(file).arg(&patterns))?;
        let mut found: Vec<String> = said.lines().map(str::to_owned).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// The ways to read a file: as it is, and unpacked if it is packed. What is unpacked must be something: else
/// nothing would be found in what cannot be read.
fn ways(file: &Path) -> Outcome<Vec<&'static str>> {
    const RECORDS: &str = "unzip -p \"$0\" archive/data.warc.gz | gzip -dc";
    let mut begin = [0; 4];
    let read = fs::File::open(file).and_then(|mut file| std::io::Read::read(&mut file, &mut begin));
    read.map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    let packed: &[&str] = match begin {
        [b'P', b'K', 3, 4] => &["unzip -p \"$0\"", RECORDS],
        // The last record may be in the middle of being written.
        [0x1f, 0x8b, ..] => &["gzip -dc \"$0\" 2>/dev/null"],
        _ => &[],
    };
    for way in packed {
        let script = format!("{way} | head -c 1 | wc -c");
        let said = output_of(bound("sh").args(["-c", &script]).arg(file))?;
        if said.trim() != "1" {
            return Err(format!("`{}` cannot be unpacked", file.display()));
        }
    }
    Ok(packed.iter().copied().chain(["cat \"$0\""]).collect())
}

fn output_of(command: &mut Command) -> Outcome<String> {
    let said = crate::process::output(command)?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::Secrets;

    #[test]
    fn a_secret_is_found_in_what_is_packed_too_and_a_short_text_is_none() {
        let folder = std::env::temp_dir().join(format!("xtask-secrets-{}", std::process::id()));
        let below = folder.join("below/deep");
        fs::create_dir_all(&below).expect("a folder");
        let mut secrets = Secrets::new(&folder);
        for text in ["12345678", "12345678", "short", "a.token.of.many"] {
            secrets.add(text);
        }
        assert_eq!(secrets.len(), 2);
        let within = |text: &str| secrets.within([text.as_bytes()].into_iter());
        assert_eq!(within("\0xx1234512345678"), Ok(vec!["12345678".to_owned()]));
        assert_eq!(within("aXtoken.of.many short"), Ok(Vec::new()));
        let file = below.join("log");
        fs::write(&file, "a line\nwith a.token.of.many\n").expect("a file");
        let packed = Command::new("gzip").arg(&file).status();
        assert!(packed.is_ok_and(|status| status.success()));
        fs::write(below.join("other"), "nothing").expect("a file");
        let (found, files) = secrets.below(&folder.join("below")).expect("it can be read");
        assert_eq!((found.len(), files), (1, 2), "{found:?}");
        assert!(found[0].starts_with("a.token.of.many in "), "{found:?}");
        let _ = fs::remove_dir_all(&folder);
    }
}
