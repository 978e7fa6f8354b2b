//! Running other programs: with their time, in step, and never left behind.
//!
//! Separate because `pages`, `bench` and `real-site` all start servers and must end them however the
//! task itself ends.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

/// A program that is ended when this value goes.
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts `command`, with its output in `log`.
    ///
    /// # Errors
    /// When the log cannot be made or the program not be started.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Outcome<Self> {
        let cannot_log = |error| format!("cannot write `{}`: {error}", log.display());
        let file = fs::File::options().create(true).append(true).open(log).map_err(cannot_log)?;
        let errors = file.try_clone().map_err(cannot_log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `address` takes connections.
    ///
    /// # Errors
    /// When the program ends first or `limit` passes.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, limit: Duration) -> Outcome {
        let name = self.name.clone();
        let reached = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        self.wait_until(&format!("{name} does not listen on {address}"), limit, reached)
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the program ends first or `limit` passes; `what` says what was waited for.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        ready: impl Fn() -> bool,
    ) -> Outcome {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended at once ({status}); see its log", self.name));
            }
            if ready() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(30));
        }
        Err(format!("{what} within {limit:?}"))
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// When it fails or `limit` passes.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Outcome {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{} failed ({status})", self.name)),
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
        Err(format!("{} did not end within {limit:?}", self.name))
    }

    /// Asks the program to end and waits; kills it after five seconds.
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        for descendant in descendants(self.child.id()) {
            let _ = Command::new("kill").args(["-KILL", &descendant.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command whose process gets SIGTERM when this task dies, however it dies.
pub(crate) fn bound(program: &str) -> Command {
    if is_installed("setpriv") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", program]);
        command
    } else {
        Command::new(program)
    }
}

/// As [`bound`], on one core.
pub(crate) fn bound_to_core(core: usize, program: &str) -> Command {
    let mut command = bound("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// `id` and all processes below it.
pub(crate) fn descendants(id: u32) -> Vec<u32> {
    let mut found = vec![id];
    let mut at = 0;
    while at < found.len() {
        let tasks = format!("/proc/{}/task", found[at]);
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        at += 1;
    }
    found
}

/// A port that was free a moment ago.
///
/// # Errors
/// When loopback has none left.
pub(crate) fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// Runs a program to its end and takes what it says.
///
/// # Errors
/// When it cannot be started or fails; the message holds what it said.
pub(crate) fn output(command: &mut Command) -> Outcome<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `{name}`: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = if said.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout).into_owned()
    } else {
        said
    };
    Err(format!("`{name}` failed ({}): {}", output.status, said.trim()))
}

/// As [`output`] for a program that may hang: it is ended when `limit` passes. What it says is
/// kept beside `log`, in files that end in `.out` and `.err`, and what went to the first is given.
///
/// # Errors
/// When it cannot be started, fails or does not end in time; the message holds what it complained
/// of.
pub(crate) fn output_within(
    name: &str,
    command: &mut Command,
    limit: Duration,
    log: &Path,
) -> Outcome<String> {
    let (said, complained) = (log.with_extension("out"), log.with_extension("err"));
    let create = |path: &Path| {
        fs::File::create(path)
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(create(&said)?)
        .stderr(create(&complained)?)
        .spawn()
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    let mut running = Running { child, name: name.to_owned() };
    let read = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    match running.wait_end(limit) {
        Ok(()) => Ok(read(&said)),
        Err(error) => {
            let complaint = read(&complained);
            Err(format!("{error}: {}; its output is in {}", complaint.trim(), said.display()))
        }
    }
}

/// Runs a program with its output on this terminal.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn visible(command: &mut Command) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot run `{name}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name}` failed ({status})")) }
}

/// Whether this task runs as root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// Builds the product in release mode and says where it is.
///
/// # Errors
/// When it does not build.
pub(crate) fn build_seawall(root: &Path) -> Outcome<PathBuf> {
    eprintln!("building seawall in release mode");
    visible(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--package", "seawall"])
            .current_dir(root),
    )?;
    Ok(target(root).join("release/seawall"))
}

/// Builds an example of a crate in release mode and says where it is.
///
/// # Errors
/// When it does not build.
pub(crate) fn build_example(root: &Path, package: &str, example: &str) -> Outcome<PathBuf> {
    visible(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "--quiet"])
            .args(["--package", package, "--example", example])
            .current_dir(root),
    )?;
    Ok(target(root).join("release/examples").join(example))
}

/// Builds the product as the tests use it and says where it is. After a run of all tests there is
/// nothing left to build.
///
/// # Errors
/// When it does not build.
pub(crate) fn build_seawall_for_tests(root: &Path) -> Outcome<PathBuf> {
    // All packages and one test: cargo then chooses the features of a run of all tests, and finds
    // what that run has built.
    visible(
        Command::new("cargo")
            .args(["build", "--workspace", "--locked", "--bin", "seawall", "--test", "cli"])
            .current_dir(root),
    )?;
    Ok(target(root).join("debug/seawall"))
}

/// Where cargo puts what it builds, and tasks their scratch folders.
pub(crate) fn target(root: &Path) -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.map_or_else(|| root.join("target"), |chosen| root.join(chosen))
}

/// An empty folder under the target folder.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn scratch(root: &Path, name: &str) -> Outcome<PathBuf> {
    let folder = target(root).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
    Ok(folder)
}

/// So many random bytes, in hexadecimal.
///
/// # Errors
/// When the system has none.
pub(crate) fn random_hex(bytes: usize) -> Outcome<String> {
    let mut drawn = vec![0; bytes];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut drawn));
    read.map_err(|error| format!("no random numbers: {error}"))?;
    Ok(drawn.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// A self-signed ECDSA P-256 certificate for 127.0.0.1, example.org and the sample site, as `cert.pem`, `key.pem`
/// and, both in one as HAProxy wants them, `both.pem`.
///
/// # Errors
/// When openssl fails.
pub(crate) fn certificate(folder: &Path) -> Outcome {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    output(Command::new("openssl").args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=example.org",
        "-addext",
        "subjectAltName=DNS:example.org,DNS:tidewater-post.example,DNS:localhost,IP:127.0.0.1",
        "-addext",
        // It is a server's own: who trusts it trusts nothing else by it.
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &key,
        "-out",
        &cert,
    ]))?;
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))
    };
    write(&folder.join("both.pem"), &format!("{}{}", read(&cert)?, read(&key)?))
}

/// Whether a program of this name is on the path (or where administrators keep theirs).
pub(crate) fn is_installed(program: &str) -> bool {
    path_of(program).is_some()
}

/// Where a program of this name is.
pub(crate) fn path_of(program: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Where a program that a task needs is.
///
/// # Errors
/// When it is nowhere.
pub(crate) fn found(program: &str) -> Outcome<String> {
    let path = path_of(program).ok_or_else(|| format!("there is no program `{program}`"))?;
    Ok(path.to_string_lossy().into_owned())
}

/// The program whose name begins like this and ends in a version, such as `php-fpm8.2`.
pub(crate) fn program_like(begin: &str) -> Option<PathBuf> {
    let entries = folders().into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(begin);
            version.is_some_and(|v| v.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.pop()
}

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::Duration;

    use super::{bound, descendants, free_port, is_installed, output_within};

    #[test]
    fn a_program_that_does_not_end_is_ended_and_said_to_be() {
        let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let within = |script: &str, limit| {
            let mut command = bound("sh");
            output_within("sh", command.args(["-c", script]), limit, &folder.join("log"))
        };
        let long = Duration::from_secs(60);
        assert_eq!(within("echo said; echo noise >&2", long), Ok("said\n".to_owned()));
        let failed = within("echo broken >&2; exit 3", long).expect_err("it fails");
        assert!(failed.contains("broken"), "{failed}");
        let hung = within("echo $$; exec sleep 600", Duration::ZERO).expect_err("it hangs");
        assert!(hung.contains("did not end"), "{hung}");
        let id = fs::read_to_string(folder.join("log.out")).unwrap_or_default();
        if !id.trim().is_empty() {
            let there = Command::new("kill").args(["-0", id.trim()]).output();
            assert!(there.is_ok_and(|there| !there.status.success()), "it still runs");
        }
        let _ = fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_process_is_its_own_first_descendant_and_shells_exist() {
        assert_eq!(descendants(std::process::id()).first(), Some(&std::process::id()));
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program-here"));
        assert!(free_port().is_ok_and(|port| port > 0));
    }
}
