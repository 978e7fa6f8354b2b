//! Where the demo keeps its files: a private folder that goes with it, or one the user names.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use seawall_edge::sealing_key;
use seawall_rehearse::RunKey;
use seawall_rehearse::site::HOST;

use crate::demo::baseline;
use crate::demo::error::DemoError;
use crate::report::{INCIDENTS, RECORD};

/// The demo's files. Removed on drop unless the user wants to keep them.
#[derive(Debug)]
pub(crate) struct Folder {
    temporary: PathBuf,
    kept: Option<PathBuf>,
}

impl Folder {
    /// Makes a fresh private folder, and the one to keep files in if named.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn make(kept: Option<&Path>) -> Result<Self, DemoError> {
        let name = RunKey::draw().map_err(DemoError::system("draw a random name"))?.reveal();
        let temporary = std::env::temp_dir().join(format!("seawall-demo-{}", &name[..12]));
        let failed =
            |path: &Path| DemoError::system(format!("make the folder `{}`", path.display()));
        DirBuilder::new().mode(0o700).create(&temporary).map_err(failed(&temporary))?;
        let folder = Self { temporary, kept: kept.map(Path::to_owned) };
        if let Some(kept) = kept {
            fs::create_dir_all(kept).map_err(failed(kept))?;
        }
        Ok(folder)
    }

    /// Where the user finds configuration and logs, if they stay.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    /// Opens a new file for a child's words.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn log(&self, name: &str) -> Result<File, DemoError> {
        let path = self.path(name);
        File::create(&path).map_err(DemoError::system(format!("write `{}`", path.display())))
    }

    /// The last words in a log, for an error message.
    pub(crate) fn last_words(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let last: Vec<&str> =
            text.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        if last.is_empty() {
            "it said nothing".to_owned()
        } else {
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        }
    }

    /// Writes Seawall's configuration: the defaults, an address, an origin and what the site is called.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn write_config(
        &self,
        listen: SocketAddr,
        origin: SocketAddr,
    ) -> Result<PathBuf, DemoError> {
        let path = self.path("seawall.toml");
        let text = config_text(&self.state(), listen, origin);
        fs::write(&path, text).map_err(DemoError::system(format!("write `{}`", path.display())))?;
        Ok(path)
    }

    /// Has Seawall know who is ordinary, from generated clients who look as the readers of `seed` do.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn write_baseline(&self, seed: u64) -> Result<(), DemoError> {
        let state = self.state();
        let failed = DemoError::system(format!("write a baseline into `{}`", state.display()));
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&state);
        made.and_then(|()| baseline::write(&baseline::Args::new(state, seed)))
            .map(drop)
            .map_err(failed)
    }

    /// The incidents that Seawall recorded: where each is.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state().join(INCIDENTS)).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// Puts the records of incidents, and the key that they are checked with, beside configuration and logs, if those
    /// stay. They lie there as in a state folder, so that `seawall report --state` finds them.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn keep_records(&self) -> Result<(), DemoError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let failed = || DemoError::system(format!("keep the record in `{}`", kept.display()));
        for record in self.records() {
            let Some(name) = record.file_name() else { continue };
            let beside = kept.join(INCIDENTS).join(name);
            let made = DirBuilder::new().mode(0o700).recursive(true).create(&beside);
            // The copy is for its owner alone, as the record is: it may hold addresses.
            made.and_then(|()| fs::copy(record.join(RECORD), beside.join(RECORD)))
                .map_err(failed())?;
            let key =
                sealing_key(&self.state()).map_err(|error| failed()(io::Error::other(error)))?;
            fs::write(kept.join("key.pem"), key.public().to_pem()).map_err(failed())?;
        }
        Ok(())
    }

    /// Where Seawall can be asked while it runs.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.state().join("admin.sock")
    }

    fn state(&self) -> PathBuf {
        self.temporary.join("state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.kept.as_ref().unwrap_or(&self.temporary).join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing better can be done at the end than to leave it behind.
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// What a site owner would write, who has an hour and not a few seconds for the first crawl.
fn config_text(state: &Path, listen: SocketAddr, origin: SocketAddr) -> String {
    let state = toml::Value::from(state.to_string_lossy().into_owned());
    format!(
        "# Written by `seawall demo`: the defaults, an address, an origin and what the site is called.\n\
         state_dir = {state}\n\
         disk = \"1GiB\"\n\n\
         [[listen]]\n\
         address = \"{listen}\"\n\n\
         [[site]]\n\
         # The second one is for your browser.\n\
         hosts = [\"{HOST}\", \"127.0.0.1\"]\n\
         origin = \"http://{origin}\"\n\n\
         [site.cache]\n\
         default_ttl = \"10s\"\n\n\
         [site.archive]\n\
         url = \"http://{HOST}\"\n\
         # The default, 10, takes 40 s for this site; 40 is more than the site bears beside a crawler.\n\
         max_rate = 20\n"
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn the_configuration_is_what_a_site_owner_would_write() {
        let listen = "127.0.0.1:8000".parse().expect("an address");
        let origin = "127.0.0.1:9000".parse().expect("an address");
        let text = config_text(Path::new("/tmp/a \"b\"/state"), listen, origin);
        let table: toml::Table = text.parse().expect("well-formed TOML");
        assert_eq!(table["state_dir"].as_str(), Some("/tmp/a \"b\"/state"));
        assert_eq!(table["site"][0]["origin"].as_str(), Some("http://127.0.0.1:9000"));
        let archive = &table["site"][0]["archive"];
        assert_eq!(archive["url"].as_str(), Some("http://tidewater-post.example"));
        assert_eq!(table["site"][0]["cache"]["default_ttl"].as_str(), Some("10s"));
    }

    #[test]
    fn the_record_is_kept_for_its_owner_with_the_key_that_checks_it() {
        let kept = tempfile::tempdir().expect("the temporary folder is writable");
        let folder = Folder::make(Some(kept.path())).expect("a private folder");
        assert_eq!(folder.records(), [] as [std::path::PathBuf; 0]);
        folder.keep_records().expect("there is nothing to keep");
        let incident = folder.state().join(INCIDENTS).join("20261122T100800Z-3f1a");
        fs::create_dir_all(&incident).expect("a folder");
        let options = fs::OpenOptions::new().write(true).create(true).mode(0o600).clone();
        let mut record = options.open(incident.join(RECORD)).expect("a file");
        record.write_all(b"{}\n").expect("a line");
        folder.keep_records().expect("the record is kept");
        let key = sealing_key(&folder.state()).expect("the key of the demo").public().to_pem();
        drop(folder);
        let beside = kept.path().join(INCIDENTS).join("20261122T100800Z-3f1a").join(RECORD);
        assert_eq!(fs::read(&beside).expect("the record"), b"{}\n");
        let mode = fs::metadata(&beside).expect("the record").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(kept.path().join("key.pem")).expect("the key"), key);
    }

    #[test]
    fn the_private_folder_goes_with_the_demo() {
        let folder = Folder::make(None).expect("the temporary folder is writable");
        let path = folder.temporary.clone();
        drop(folder.log("a.log").expect("a fresh folder takes a file"));
        assert_eq!(folder.last_words("a.log"), "it said nothing");
        drop(folder);
        assert!(!path.exists());
    }
}
