//! The servers of the scratch site: MariaDB, php-fpm, nginx, and Seawall before them.
//!
//! Separate so that how each is started and configured is read in one place. All of them listen on
//! loopback or on sockets in the scratch folder.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::process::{Running, descendants, free_port, is_root, output, program_like, write};

use super::memory::Cage;

/// How long a server may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Stories on the site.
pub(crate) const POSTS: usize = 500;

/// PHP workers, as a small machine has them.
const PHP_WORKERS: u32 = 3;

/// The running site. Servers end in the order of the fields: the outermost first.
pub(crate) struct Stack {
    seawall: Option<Running>,
    nginx: Running,
    php: Running,
    database: Running,
    folder: PathBuf,
    origin: SocketAddr,
}

/// A Seawall to start: what lies before the site, and what it knows already.
pub(crate) struct Front<'a> {
    pub(crate) program: &'a Path,
    /// The name of its state folder; an empty one if there is none yet.
    pub(crate) state: &'a str,
    /// Where it finds the site, if not at the web server itself.
    pub(crate) origin: Option<SocketAddr>,
    /// Where it listens, if that is known before; else at a free port.
    pub(crate) plain: Option<u16>,
}

impl Stack {
    /// Makes the site and starts it without Seawall.
    ///
    /// # Errors
    /// When a part does not start; its log is in the scratch folder.
    pub(crate) fn start(folder: &Path, secret: &str, cage: &Cage) -> Outcome<Self> {
        let socket = folder.join("maria/maria.sock");
        if socket.as_os_str().len() > 100 {
            // sun_path holds 108 bytes (unix(7)).
            return Err(format!(
                "the path `{}` is too long for a socket; set CARGO_TARGET_DIR to a shorter folder",
                socket.display()
            ));
        }
        let database = database(folder, &socket, cage)?;
        site(folder, &socket, secret)?;
        let php = php(folder, cage)?;
        let origin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let nginx = nginx(folder, origin, cage)?;
        Ok(Self { seawall: None, nginx, php, database, folder: folder.to_path_buf(), origin })
    }

    /// Starts Seawall before the site with the shipped example; returns its plain port. One that runs
    /// is ended.
    ///
    /// # Errors
    /// When the example cannot be read or Seawall does not start.
    pub(crate) fn start_seawall(
        &mut self,
        root: &Path,
        front: &Front<'_>,
        cage: &Cage,
    ) -> Outcome<u16> {
        self.stop_seawall();
        let example = root.join("packaging/examples/wordpress.toml");
        let text = fs::read_to_string(&example)
            .map_err(|error| format!("cannot read `{}`: {error}", example.display()))?;
        let plain = SocketAddr::from(([127, 0, 0, 1], front.plain.map_or_else(free_port, Ok)?));
        let tls = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let file = self.folder.join("seawall.toml");
        let origin = front.origin.unwrap_or(self.origin);
        let addresses = Addresses { plain, tls, admin, origin };
        write(&file, &substitute(&text, &self.folder, front.state, &addresses))?;
        let mut command = cage.command(&front.program.to_string_lossy());
        command.args(["serve", "--config"]).arg(&file);
        let mut running =
            Running::start("seawall", &mut command, &self.folder.join("seawall.log"))?;
        running.wait_for(plain, START_LIMIT)?;
        self.seawall = Some(running);
        Ok(plain.port())
    }

    /// Ends Seawall.
    pub(crate) fn stop_seawall(&mut self) {
        self.seawall = None;
    }

    /// What Seawall says at its operator's door.
    ///
    /// # Errors
    /// When it says nothing, or no JSON.
    pub(crate) fn admin(&self, target: &str) -> Outcome<Value> {
        let failed = |error: std::io::Error| format!("Seawall's admin socket: {error}");
        let mut socket = UnixStream::connect(self.folder.join("admin.sock")).map_err(failed)?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n");
        socket.set_read_timeout(Some(START_LIMIT)).map_err(failed)?;
        socket.write_all(head.as_bytes()).map_err(failed)?;
        let mut said = String::new();
        socket.read_to_string(&mut said).map_err(failed)?;
        let body = said.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).map_err(|error| format!("Seawall says of {target}: {error}"))
    }

    /// Sends a signal to the web server: `KILL`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn signal_origin(&self, signal: &str) -> Outcome {
        let ids = descendants(self.nginx.id());
        let ids = ids.iter().map(ToString::to_string);
        output(Command::new("kill").arg(format!("-{signal}")).args(ids)).map(drop)
    }

    /// Starts the web server again, at the same address.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn restart_origin(&mut self, cage: &Cage) -> Outcome {
        self.nginx.stop();
        self.nginx = nginx(&self.folder, self.origin, cage)?;
        Ok(())
    }

    /// What the archive's crawler asked the web server for with success: each path, and when, in seconds
    /// since 1970.
    pub(crate) fn crawled(&self) -> HashMap<String, Vec<f64>> {
        let log = fs::read_to_string(self.folder.join("nginx/access.log")).unwrap_or_default();
        let mut crawled: HashMap<String, Vec<f64>> = HashMap::new();
        for line in log.lines() {
            let mut parts = line.splitn(4, ' ');
            let (Some(status), Some(at), Some(who), Some(path)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let is_answer = status.starts_with(['2', '3']);
            if let (true, true, Ok(at)) = (is_answer, who == "crawler", at.parse()) {
                crawled.entry(path.to_owned()).or_default().push(at);
            }
        }
        crawled
    }

    /// The address of the web server itself.
    pub(crate) fn origin(&self) -> SocketAddr {
        self.origin
    }

    /// The port of the web server itself.
    pub(crate) fn origin_port(&self) -> u16 {
        self.origin.port()
    }

    /// Requests that have reached the web server so far.
    pub(crate) fn origin_requests(&self) -> usize {
        let log = fs::read(self.folder.join("nginx/access.log")).unwrap_or_default();
        log.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The scratch folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first process of each server.
    pub(crate) fn process_ids(&self) -> Vec<u32> {
        let all = [Some(&self.nginx), Some(&self.php), Some(&self.database), self.seawall.as_ref()];
        all.into_iter().flatten().map(Running::id).collect()
    }
}

fn make(folder: &Path) -> Outcome {
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))
}

fn database(folder: &Path, socket: &Path, cage: &Cage) -> Outcome<Running> {
    let data = folder.join("maria");
    make(&data)?;
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.arg(format!("--datadir={}", data.display()));
    if is_root() {
        install.arg("--user=root");
    }
    output(&mut install)?;
    let mut command = cage.command("/usr/sbin/mariadbd");
    command.args(["--no-defaults", "--skip-networking", "--performance-schema=OFF"]);
    command.args(["--innodb-buffer-pool-size=64M", "--max-connections=40"]);
    command.arg(format!("--datadir={}", data.display()));
    command.arg(format!("--socket={}", socket.display()));
    command.arg(format!("--pid-file={}", data.join("pid").display()));
    if is_root() {
        command.arg("--user=root");
    }
    let mut running = Running::start("mariadbd", &mut command, &folder.join("maria.log"))?;
    running.wait_until("MariaDB does not listen", START_LIMIT, || socket.exists())?;
    Ok(running)
}

/// Copies WordPress, writes its configuration and lets PHP install it.
fn site(folder: &Path, socket: &Path, secret: &str) -> Outcome {
    let www = folder.join("www");
    output(Command::new("cp").args(["-rL", "/usr/share/wordpress"]).arg(&www))?;
    let socket = socket.display();
    let config = format!(
        "<?php
define('DB_NAME', 'site'); define('DB_USER', 'root'); define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:{socket}'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY', 'AUTH_SALT',
    'SECURE_AUTH_SALT', 'LOGGED_IN_SALT', 'NONCE_SALT'] as $name) {{ define($name, \"scratch-$name\"); }}
// Nothing leaves this machine, and nothing runs on its own while it is measured.
define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) {{ define('ABSPATH', __DIR__ . '/'); }}
require_once ABSPATH . 'wp-settings.php';
"
    );
    write(&www.join("wp-config.php"), &config)?;
    make(&www.join("wp-content/uploads"))?;
    let create = format!(
        "$link = mysqli_init(); mysqli_real_connect($link, 'localhost', 'root', '', '', 0, '{socket}') \
         && mysqli_query($link, 'CREATE DATABASE site') || exit(1);"
    );
    output(Command::new("php").args(["-r", &create]))?;
    let script = folder.join("install.php");
    write(&script, include_str!("install.php"))?;
    let mut install = Command::new("php");
    install
        .args(["-d", "memory_limit=256M"])
        .arg(&script)
        .arg(&www)
        .arg(POSTS.to_string())
        .arg(secret);
    let said = output(&mut install)?.stdout;
    if !said.ends_with(b"installed\n") {
        return Err(format!("WordPress was not installed: {}", String::from_utf8_lossy(&said)));
    }
    Ok(())
}

fn php(folder: &Path, cage: &Cage) -> Outcome<Running> {
    let program = program_like("php-fpm").ok_or("php-fpm is not installed")?;
    let socket = folder.join("php.sock");
    let user = if is_root() { "user = root\ngroup = root\n" } else { "" };
    let config = folder.join("php-fpm.conf");
    let text = format!(
        "[global]\nerror_log = {log}\ndaemonize = no\n[site]\n{user}listen = {socket}\n\
         listen.backlog = 511\npm = static\npm.max_children = {PHP_WORKERS}\n\
         php_admin_value[upload_max_filesize] = 64M\nphp_admin_value[post_max_size] = 64M\n\
         php_admin_value[memory_limit] = 128M\n",
        log = folder.join("php-fpm.log").display(),
        socket = socket.display()
    );
    write(&config, &text)?;
    let mut command = cage.command(&program.to_string_lossy());
    command.arg("-F").arg("-y").arg(&config);
    if is_root() {
        command.arg("-R");
    }
    let mut running = Running::start("php-fpm", &mut command, &folder.join("php.log"))?;
    running.wait_until("php-fpm does not listen", START_LIMIT, || socket.exists())?;
    Ok(running)
}

fn nginx(folder: &Path, address: SocketAddr, cage: &Cage) -> Outcome<Running> {
    let own = folder.join("nginx");
    make(&own)?;
    let user = if is_root() { "user root; " } else { "" };
    let text = format!(
        "{user}daemon off; worker_processes 1; pid {own}/pid; error_log {own}/error.log;
events {{ worker_connections 2000; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  map $http_user_agent $who {{ default reader; ~^Seawall/ crawler; }}
  log_format short '$status $msec $who $request_uri'; access_log {own}/access.log short;
  client_max_body_size 64m; client_body_temp_path {own}/body; fastcgi_temp_path {own}/fastcgi;
  proxy_temp_path {own}/proxy; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  server {{
    listen {address} backlog=511; server_name _; root {www}; index index.php;
    location / {{ try_files $uri $uri/ /index.php?$args; }}
    location ~ \\.php$ {{
      try_files $uri =404; include /etc/nginx/fastcgi_params; fastcgi_pass unix:{socket};
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param SERVER_NAME $host; fastcgi_param SERVER_PORT 80;
      fastcgi_read_timeout 60s;
    }}
  }}
}}
",
        own = own.display(),
        www = folder.join("www").display(),
        socket = folder.join("php.sock").display()
    );
    let config = folder.join("nginx.conf");
    write(&config, &text)?;
    let mut command = cage.command("/usr/sbin/nginx");
    command.arg("-c").arg(&config).arg("-p").arg(&own).arg("-e").arg("/dev/null");
    let mut running = Running::start("nginx", &mut command, &folder.join("nginx.log"))?;
    running.wait_for(address, START_LIMIT)?;
    Ok(running)
}

struct Addresses {
    plain: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
    origin: SocketAddr,
}

/// The example with this run's addresses and files, and nothing else changed.
fn substitute(example: &str, folder: &Path, state: &str, addresses: &Addresses) -> String {
    let folder = folder.display();
    let mut section = String::new();
    let mut text = String::new();
    for line in example.lines() {
        let code = line.split('#').next().unwrap_or_default().trim();
        if code.starts_with('[') && !code.contains('=') {
            section = code.trim_matches(['[', ']']).to_owned();
        }
        let (key, value) = code.split_once('=').unwrap_or((code, ""));
        let replaced = match (section.as_str(), key.trim()) {
            ("", "state_dir") => Some(format!("\"{folder}/{state}\"")),
            ("listen", "address") if value.contains(":443") => {
                Some(format!("\"{}\"", addresses.tls))
            }
            ("listen", "address") => Some(format!("\"{}\"", addresses.plain)),
            ("tls", "cert") => Some(format!("\"{folder}/cert.pem\"")),
            ("tls", "key") => Some(format!("\"{folder}/key.pem\"")),
            ("site", "hosts") => Some("[\"example.test\"]".to_owned()),
            ("site", "origin") => Some(format!("\"http://{}\"", addresses.origin)),
            ("admin", "address") => Some(format!("\"{}\"", addresses.admin)),
            ("admin", "socket") => Some(format!("\"{folder}/admin.sock\"")),
            _ => None,
        };
        match replaced {
            Some(value) => text.push_str(&format!("{} = {value}\n", key.trim())),
            None => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Addresses, substitute};

    #[test]
    fn the_example_keeps_everything_but_addresses_and_files() {
        let example = "state_dir = \"/var/lib/seawall\"\n[[listen]]\naddress = \"0.0.0.0:80\"\n\
                       [[listen]]\naddress = \"0.0.0.0:443\" # readers\ntls = true\n\
                       [[site]]\nhosts = [\"example.org\"]\norigin = \"http://127.0.0.1:8080\"\n\
                       [site.cache]\ndefault_ttl = \"10s\"\n[admin]\naddress = \"127.0.0.1:9180\"\n";
        let address = |port| ([127, 0, 0, 1], port).into();
        let addresses =
            Addresses { plain: address(1), tls: address(2), admin: address(3), origin: address(4) };
        let expected = "state_dir = \"/s/state\"\n[[listen]]\naddress = \"127.0.0.1:1\"\n\
                        [[listen]]\naddress = \"127.0.0.1:2\"\ntls = true\n\
                        [[site]]\nhosts = [\"example.test\"]\norigin = \"http://127.0.0.1:4\"\n\
                        [site.cache]\ndefault_ttl = \"10s\"\n[admin]\naddress = \"127.0.0.1:3\"\n";
        assert_eq!(substitute(example, Path::new("/s"), "state", &addresses), expected);
    }
}
