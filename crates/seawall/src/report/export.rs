//! `seawall report export`: the report in a form for others.
//!
//! What is written is what the pure crate renders; this file only chooses where it goes. A file is written beside its place
//! and renamed, so that a page that is fetched while it is made anew is never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use seawall_report::{
    Edition, Entry, ExportError, ExportOptions, Report, csv, html, json, misp, nis2, pdf, stix,
    xarf,
};

use super::{ExportArgs, record};
use crate::Done;
use crate::figures::{grouped, readable_size};
use crate::output::{self, Failure, say, with_causes};

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A page for people, in one file: it prints well and loads nothing.
    Html,
    /// The same as a PDF.
    Pdf,
    /// The report for programs; its schema is docs/schemas/report-1.json.
    Json,
    /// Tables: sums, timeline, sources, the requests of the sample that were met or refused, counts of all others, and what
    /// their hashes were in words.
    Csv,
    /// A STIX 2.1 bundle.
    Stix,
    /// A MISP event.
    Misp,
    /// Drafts of complaints, one for each address of the sealed edition: nothing is sent.
    Xarf,
    /// The texts that NIS2 asks for: early warning, notification, final report. Drafts with gaps for people.
    Nis2,
}

/// What an export is made of.
enum Made<'r> {
    Text(String),
    /// One file that is no text.
    Bytes(Vec<u8>),
    /// Several files, each made when it is its turn: there may be thousands.
    Files(Box<dyn Iterator<Item = Result<Named<'r>, Failure>> + 'r>),
}

/// A name and what is in it, piece by piece.
type Named<'r> = (String, Texts<'r>);
type Texts<'r> = Box<dyn Iterator<Item = Result<String, ExportError>> + 'r>;

/// What is in a file, in one piece.
fn whole<'r>(text: String) -> Texts<'r> {
    Box::new(std::iter::once(Ok(text)))
}

/// Writes an export of the record at `path`.
///
/// # Errors
/// A failure if the record cannot be read, the edition is not for this marking, or it cannot be written.
pub(super) fn run(path: &Path, args: &ExportArgs) -> Done {
    let options = ExportOptions {
        tlp: args.tlp,
        edition: args.edition,
        reporter: args.reporter.clone(),
        contact: args.contact.clone(),
    };
    // What cannot be exported is said before a long record is read.
    text(options.shown(&Report::default()).map(drop))?;
    if args.format == Format::Xarf && args.edition == Edition::Public {
        text(Err::<(), _>(ExportError::PublicHasNoAddresses))?;
    }
    let report = record::report(path, args.edition)?;
    let is_private = args.edition == Edition::Sealed;
    match make(args.format, &report, &options)? {
        Made::Text(text) => match &args.out {
            None => output::data(&text),
            Some(out) => write(out, text.as_bytes(), is_private),
        },
        Made::Bytes(bytes) => match &args.out {
            None => print_bytes(&bytes),
            Some(out) => write(out, &bytes, is_private),
        },
        Made::Files(files) => {
            let Some(folder) = &args.out else { return print(files, args.format) };
            fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
            let mut written = Written::default();
            for file in files {
                let (name, pieces) = file?;
                let mut fresh = Fresh::new(&folder.join(name), is_private)?;
                for piece in pieces {
                    fresh.put(text(piece)?.as_bytes())?;
                }
                written.add(fresh.close()?);
            }
            if args.format == Format::Csv {
                write_sample(path, folder, args.edition, &mut written)?;
            }
            written.settle(folder)
        }
    }
}

fn make<'r>(
    format: Format,
    report: &'r Report,
    options: &'r ExportOptions,
) -> Result<Made<'r>, Failure> {
    let files = |files: Vec<Named<'r>>| Made::Files(Box::new(files.into_iter().map(Ok)));
    Ok(match format {
        Format::Html => Made::Text(text(html::render(report, options))?),
        Format::Pdf => Made::Bytes(text(pdf::render(report, options))?),
        Format::Stix => Made::Text(text(stix::render(report, options))?),
        Format::Misp => Made::Text(text(misp::render(report, options))?),
        Format::Xarf => Made::Files(Box::new(drafts(report, options)?)),
        Format::Nis2 => files(nis2_texts(report, options)?),
        Format::Json => Made::Text(text(json::render(report, options))?),
        Format::Csv => files(vec![
            ("sources.csv".to_owned(), whole(text(csv::render(report, options))?)),
            ("totals.csv".to_owned(), whole(csv::totals(report))),
            ("timeline.csv".to_owned(), whole(csv::timeline(report))),
        ]),
    })
}

/// The reports for programs, and a mail each for people.
fn drafts<'r>(
    report: &'r Report,
    options: &'r ExportOptions,
) -> Result<impl Iterator<Item = Result<Named<'r>, Failure>> + 'r, Failure> {
    let pieces: Texts<'r> = Box::new(text(xarf::pieces(report, options))?);
    let mails = text(xarf::mails(report, options))?.map(|draft| {
        let draft = text(draft)?;
        // An address of IPv6 has colons, which not every system takes in a name.
        let name: String =
            draft.source.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Ok((format!("{name}.eml"), whole(draft.text)))
    });
    Ok(std::iter::once(Ok(("xarf.json".to_owned(), pieces))).chain(mails))
}

fn nis2_texts<'r>(report: &Report, options: &ExportOptions) -> Result<Vec<Named<'r>>, Failure> {
    let each = nis2::Stage::ALL.into_iter().map(|stage| {
        let written = text(nis2::render(report, options, stage))?;
        Ok((format!("{}.txt", stage.as_str()), whole(written)))
    });
    each.collect()
}

/// What was rendered, or why it was not.
///
/// # Errors
/// A usage failure if it was asked for wrongly.
pub(super) fn text<T>(rendered: Result<T, ExportError>) -> Result<T, Failure> {
    rendered.map_err(|error| match error {
        ExportError::SealedIsClear => Failure::usage(
            with_causes(&error),
            "add `--tlp amber` or `--edition public`, whichever is meant",
        ),
        ExportError::PublicHasNoAddresses => Failure::usage(
            with_causes(&error),
            "add `--edition sealed`; `seawall report privacy` says how many addresses are kept",
        ),
        ExportError::NoAddresses => Failure::failed(
            with_causes(&error),
            "`seawall report privacy` says how many addresses are kept, whether they are encrypted, and until when",
        ),
        ExportError::Json(_) => {
            Failure::failed(with_causes(&error), "this is a mistake of Seawall: please report it")
        }
        error => Failure::failed(
            with_causes(&error),
            "choose another form: `html`, `json`, `csv`, `stix`, `misp` and `nis2` need nothing of that",
        ),
    })
}

/// Of several files the first is what a pipe gets: the others need a folder.
fn print<'r>(mut files: impl Iterator<Item = Result<Named<'r>, Failure>>, format: Format) -> Done {
    let Some(first) = files.next() else { return Ok(()) };
    let (name, pieces) = first?;
    for piece in pieces {
        output::bytes(text(piece)?.as_bytes())?;
    }
    if std::io::stderr().is_terminal() {
        let others = files.map(|file| file.map(|(name, _)| name)).collect::<Result<Vec<_>, _>>()?;
        let more = if format == Format::Csv { ", sample.csv, readers.csv, words.csv" } else { "" };
        let shown = others.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let others =
            if others.len() > 3 { format!("{shown} and {} more", others.len() - 3) } else { shown };
        say(&format!("This is {name}. `--out FOLDER` also writes {others}{more}."));
    }
    Ok(())
}

/// A pipe gets it; a terminal could not show it.
fn print_bytes(bytes: &[u8]) -> Done {
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "this form is no text, and a terminal cannot show it",
            "add `--out FILE`",
        ));
    }
    output::bytes(bytes)
}

/// The sample is read a second time and written line by line: it is never held whole.
fn write_sample(path: &Path, folder: &Path, edition: Edition, written: &mut Written) -> Done {
    let fresh = |name: &str| Fresh::new(&folder.join(name), edition == Edition::Sealed);
    let mut to_sample = fresh("sample.csv")?;
    let mut to_readers = fresh("readers.csv")?;
    let mut to_words = fresh("words.csv")?;
    to_readers.put(csv::clean_head().as_bytes())?;
    to_words.put(csv::words_head().as_bytes())?;
    record::read(path, |entry| match entry {
        Entry::Begin(begin) if to_sample.written == 0 => {
            to_sample.put(csv::sample_head(begin).as_bytes())
        }
        Entry::Row(row) => to_sample.put(csv::sample_line(row, edition).as_bytes()),
        Entry::Clean(clean) => to_readers.put(csv::clean_lines(clean).as_bytes()),
        Entry::Word(word) => to_words.put(csv::words_line(word).as_bytes()),
        _ => Ok(()),
    })?;
    for file in [to_sample, to_readers, to_words] {
        written.add(file.close()?);
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8], is_private: bool) -> Done {
    let mut file = Fresh::new(path, is_private)?;
    file.put(bytes)?;
    file.sync()?;
    let size = readable_size(file.close()?);
    say(&format!("wrote {} ({size})", path.display()));
    Ok(())
}

/// Files of a folder.
#[derive(Default)]
struct Written {
    files: u64,
    bytes: u64,
}

impl Written {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }

    /// Has the disk take all of them at once: of thousands of drafts each by itself takes longer than making it.
    fn settle(self, folder: &Path) -> Done {
        let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(|error| cannot_write(folder, &error))?;
        say(&format!(
            "wrote {} files to {} ({})",
            grouped(self.files),
            folder.display(),
            readable_size(self.bytes)
        ));
        Ok(())
    }
}

/// A file that takes its name when it is whole.
struct Fresh {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    written: u64,
    is_whole: bool,
}

impl Fresh {
    fn new(path: &Path, is_private: bool) -> Result<Self, Failure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mode = if is_private { 0o600 } else { 0o644 };
        let opened =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside);
        let file = BufWriter::new(opened.map_err(|error| cannot_write(path, &error))?);
        Ok(Self { path: path.to_owned(), beside, file, written: 0, is_whole: false })
    }

    fn put(&mut self, bytes: &[u8]) -> Done {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| cannot_write(&self.path, &error))
    }

    fn sync(&mut self) -> Done {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| cannot_write(&self.path, &error))
    }

    /// Gives it its name, and says how many bytes it has.
    fn close(mut self) -> Result<u64, Failure> {
        let flushed = self.file.flush();
        flushed
            .and_then(|()| fs::rename(&self.beside, &self.path))
            .map_err(|error| cannot_write(&self.path, &error))?;
        self.is_whole = true;
        Ok(self.written)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(
        format!("cannot write `{}`: {error}", path.display()),
        "choose a place that can be written to with `--out`, and check the space on the disk",
    )
}
