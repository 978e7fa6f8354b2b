//! A disk of a few megabytes on which a program has its state: a file system in memory, in namespaces of our own, so that
//! nothing of the machine gets full.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// As long as it lives, `state` in its folder is the small disk, for programs that [`SmallDisk::command`] starts.
pub(crate) struct SmallDisk {
    /// Keeps the namespaces, also while no program runs in them.
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    /// A disk of so many bytes.
    ///
    /// # Errors
    /// Why there is none: not every machine lets people have namespaces.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir(folder.join("state")).expect("own folder");
        let script =
            format!("mount -t tmpfs -o size={bytes} none state && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`unshare`: {error}"))?;
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut said).expect("text");
        let disk = Self { holder, folder: folder.to_owned() };
        if said == "mounted\n" { Ok(disk) } else { Err(disk.end()) }
    }

    /// What starts the real binary with its state on this disk, in the folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        // Who enters is at the root again.
        let script = "cd \"$0\" && exec \"$@\"";
        command
            .args(["--user", "--preserve-credentials", "--mount", "--target", &target])
            .args(["sh", "-c", script])
            .arg(&self.folder)
            .arg(env!("CARGO_BIN_EXE_seawall"));
        command
    }

    /// The disk as it is seen from here.
    pub(crate) fn state(&self) -> PathBuf {
        let folder = self.folder.strip_prefix("/").expect("temporary folders are absolute");
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(folder)
            .join("state")
    }

    /// Takes all room that is left on it.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("there is room for a name");
        loop {
            match filler.write_all(&[0; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("it is not full: {error}"),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.state().join("filler")
    }

    /// Why there is no disk.
    fn end(mut self) -> String {
        let mut said = String::new();
        let stderr = self.holder.stderr.take().expect("stderr is piped");
        let _ = BufReader::new(stderr).read_to_string(&mut said);
        said.trim().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
