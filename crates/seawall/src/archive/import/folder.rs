//! Files of a plain folder on their way into an archive: a static site, what `wget` copied, or what
//! `seawall archive export --static` wrote.
//!
//! Only what lies in the folder is read: hidden files are left out, and links that lead out of it. A file
//! becomes a capture of the time of its last change.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use seawall_archive::{
    Capture, FileAddress, exported_address, file_address, file_type, normal_url, read,
};
use seawall_model::WallTime;

use super::Carrier;
use crate::output::{Failure, say};
use crate::{Done, times};

/// A folder of which the site is known.
pub(super) struct Folder {
    root: PathBuf,
    /// Scheme and host.
    base: String,
    is_exported: bool,
    files: u64,
    /// Addresses that pages link to and that are names of files.
    linked: HashSet<String>,
    /// Files that have such a name beside their address.
    doubles: Vec<(PathBuf, String)>,
}

/// More than any site that is served as a folder.
const MAX_FILES: u64 = 1_000_000;
const MAX_DEPTH: usize = 64;
const MAX_LINKED: usize = 100_000;

impl Folder {
    /// The folder at `path`; or the one in it that has the site's name, as `wget` makes it.
    ///
    /// # Errors
    /// A failure if it cannot be read.
    pub(super) fn open(path: &Path, base: &str) -> Result<Self, Failure> {
        let root = path.canonicalize().map_err(|error| unread(path, &error))?;
        let host = base.split("://").nth(1).unwrap_or(base);
        let names = [host.to_owned(), host.split(':').next().unwrap_or(host).to_owned()];
        let of_host = names.iter().map(|name| root.join(name)).find(|inner| {
            let is_folder = inner.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            is_folder && !root.join("index.html").exists()
        });
        if let Some(inner) = &of_host {
            say(&format!("`{}` is taken for the root of {base}.", inner.display()));
        }
        let root = of_host.unwrap_or(root);
        let is_exported = root.join("_/pages.html").is_file();
        let base = base.to_owned();
        let (linked, doubles) = (HashSet::new(), Vec::new());
        Ok(Self { root, base, is_exported, files: 0, linked, doubles })
    }

    /// Brings what is in it.
    ///
    /// # Errors
    /// A failure if the folder cannot be read, or nobody takes what is in it.
    pub(super) fn carry(&mut self, carrier: &mut Carrier<'_>) -> Done {
        let mut folders = vec![(PathBuf::new(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if depth == 0 => return Err(unread(&path, &error)),
                Err(_) => {
                    carrier.leave_out(Some(&shown(&folder)), "unreadable");
                    continue;
                }
            };
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort_unstable();
            for name in names {
                let inner = folder.join(&name);
                if name.as_bytes().starts_with(b".") {
                    carrier.leave_out(Some(&shown(&inner)), "hidden");
                    continue;
                }
                match fs::symlink_metadata(self.root.join(&inner)) {
                    Ok(meta) if meta.is_dir() && depth < MAX_DEPTH => {
                        folders.push((inner, depth + 1));
                    }
                    Ok(meta) if meta.is_dir() => {
                        carrier.leave_out(Some(&shown(&inner)), "too_deep");
                    }
                    Ok(_) => self.take(&inner, carrier)?,
                    Err(_) => carrier.leave_out(Some(&shown(&inner)), "unreadable"),
                }
            }
        }
        self.carry_doubles(carrier)
    }

    /// Brings one file.
    fn take(&mut self, name: &Path, carrier: &mut Carrier<'_>) -> Done {
        self.files += 1;
        carrier.progress(self.files, 0);
        if self.files > MAX_FILES {
            carrier.leave_out(None, "too_many");
            return Ok(());
        }
        let (address, capture) = match self.capture(name, carrier.max_body_bytes()) {
            Ok(found) => found,
            Err(reason) => {
                carrier.leave_out(Some(&shown(name)), reason);
                return Ok(());
            }
        };
        if capture.media_type() == "text/html" {
            self.note_links(&capture);
        }
        for (target, to) in self.redirects(&address) {
            carrier.put(&self.redirect(&target, &to, capture.captured))?;
        }
        if address.literal != address.target {
            self.doubles.push((name.to_owned(), address.literal));
        }
        carrier.put(&capture)
    }

    /// Pages that were made for a folder link to names of files.
    fn note_links(&mut self, capture: &Capture) {
        for link in read(capture).links {
            let Some(target) = link.url.strip_prefix(self.base.as_str()) else { continue };
            let is_name = target.ends_with("/index.html")
                || target.ends_with("/index.htm")
                || target.contains("%3F");
            if is_name && self.linked.len() < MAX_LINKED {
                self.linked.insert(target.to_owned());
            }
        }
    }

    /// Other addresses that lead to the same.
    fn redirects(&self, address: &FileAddress) -> Vec<(String, String)> {
        let Some(folder) = &address.folder else { return Vec::new() };
        let mut from = vec![folder.clone()];
        if self.is_exported
            && let Some(before) = exported_address(&address.target)
        {
            from.push(before.trim_end_matches('/').to_owned());
            from.push(before);
        }
        from.sort_unstable();
        from.dedup();
        from.into_iter().map(|from| (from, address.target.clone())).collect()
    }

    fn redirect(&self, target: &str, to: &str, captured: WallTime) -> Capture {
        let fields = [("location", to), ("content-length", "0")];
        Capture {
            url: format!("{}{target}", self.base),
            captured,
            status: 301,
            fields: fields.map(|(name, value)| (name.to_owned(), value.into())).to_vec(),
            body: Default::default(),
        }
    }

    fn carry_doubles(&mut self, carrier: &mut Carrier<'_>) -> Done {
        for (name, literal) in std::mem::take(&mut self.doubles) {
            // As links spell it.
            let spelled = normal_url(None, &format!("{}{literal}", self.base));
            let spelled = spelled.as_deref().and_then(|url| url.strip_prefix(self.base.as_str()));
            let is_linked = spelled.is_some_and(|spelled| self.linked.contains(spelled));
            if !is_linked {
                continue;
            }
            if let Ok((_, capture)) = self.capture(&name, carrier.max_body_bytes()) {
                let url = format!("{}{literal}", self.base);
                carrier.put(&Capture { url, ..capture })?;
            }
        }
        Ok(())
    }

    /// A file as what its site would answer; or why it is left out.
    fn capture(&self, name: &Path, max: usize) -> Result<(FileAddress, Capture), &'static str> {
        let address = file_address(name.as_os_str().as_bytes()).ok_or("no_address")?;
        let file = self.open_file(name)?;
        let meta = file.metadata().map_err(|_| "unreadable")?;
        if !meta.is_file() {
            return Err("no_file");
        }
        let most = u64::try_from(max).unwrap_or(u64::MAX);
        if meta.len() > most {
            return Err("too_large");
        }
        let mut body = Vec::new();
        // It may grow meanwhile.
        file.take(most + 1).read_to_end(&mut body).map_err(|_| "unreadable")?;
        if body.len() > max {
            return Err("too_large");
        }
        let media_type = file_type(name.as_os_str().as_bytes(), &body).ok_or("no_page")?;
        let changed = meta.modified().ok();
        let changed = changed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let changed = changed.and_then(|since| u64::try_from(since.as_nanos()).ok());
        let now = times::now();
        let captured = changed.map_or(now, WallTime::from_unix_nanos).min(now);
        let fields = vec![
            ("content-type".to_owned(), media_type.into_bytes()),
            ("content-length".to_owned(), body.len().to_string().into_bytes()),
        ];
        let url = format!("{}{}", self.base, address.target);
        Ok((address, Capture { url, captured, status: 200, fields, body: body.into() }))
    }

    /// Opens a file, or what a link within the folder leads to.
    fn open_file(&self, name: &Path) -> Result<File, &'static str> {
        let path = self.root.join(name);
        let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        let path = match is_link {
            true => self.led_to(&path).ok_or("link_out")?,
            false => path,
        };
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        // Without waiting for whoever writes into a pipe.
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
            match error.kind() {
                io::ErrorKind::NotFound => "gone",
                _ => "unreadable",
            }
        })
    }

    /// Where a link leads, if that is a file in the folder which is not hidden.
    fn led_to(&self, path: &Path) -> Option<PathBuf> {
        let to = path.canonicalize().ok()?;
        let inner = to.strip_prefix(&self.root).ok()?;
        let is_hidden = inner.iter().any(|part| part.as_bytes().starts_with(b"."));
        (!is_hidden && to.is_file()).then_some(to)
    }
}

/// A name for people.
fn shown(name: &Path) -> String {
    String::from_utf8_lossy(&name.as_os_str().to_owned().into_vec()).into_owned()
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format!("cannot read `{}`: {error}", path.display()),
        "name a folder, a package (.wacz) or a WARC file (.warc.gz) that this user may read",
    )
}
