//! The servers that are compared, each a plain proxy before the recording origin.
//!
//! Separate so that what they were told can be read in one place: no caching, nothing tried twice,
//! connections to the origin kept, and a client that half-closes is still served.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound, found, free_port, is_root, write};

/// How long a server may take to listen on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Who proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Nginx,
    Haproxy,
    Seawall,
}

impl Product {
    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Seawall => "seawall",
        }
    }

    /// Starts it before `origin`, with its files in `folder`; gives the address it listens on.
    ///
    /// # Errors
    /// When it does not start; its log is `folder/NAME.log`.
    pub(crate) fn start(
        self,
        folder: &Path,
        origin: SocketAddr,
        seawall: &Path,
    ) -> Outcome<(Running, SocketAddr)> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let own = folder.join(self.name());
        fs::create_dir_all(&own)
            .map_err(|error| format!("cannot make `{}`: {error}", own.display()))?;
        let file = own.join("config");
        let mut command = match self {
            Self::Nginx => {
                write(&file, &nginx(&own, address, origin))?;
                let mut command = bound(&found("nginx")?);
                command.arg("-c").arg(&file).arg("-p").arg(&own).arg("-e").arg("/dev/null");
                command
            }
            Self::Haproxy => {
                write(&file, &haproxy(address, origin))?;
                let mut command = bound(&found("haproxy")?);
                command.arg("-db").arg("-f").arg(&file);
                command
            }
            Self::Seawall => {
                write(&file, &seawall_toml(&own, address, origin))?;
                let mut command = bound(&seawall.to_string_lossy());
                command.args(["serve", "--config"]).arg(&file);
                command
            }
        };
        let log = folder.join(format!("{}.log", self.name()));
        let mut running = Running::start(self.name(), &mut command, &log)?;
        running
            .wait_for(address, START_LIMIT)
            .map_err(|error| format!("{error} (log: {})", log.display()))?;
        Ok((running, address))
    }
}

fn nginx(own: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let user = if is_root() { "user root; " } else { "" };
    let own = own.display();
    format!(
        "{user}daemon off; worker_processes 1; pid {own}/pid; error_log /dev/null crit;
events {{ worker_connections 500; }}
http {{
  access_log off; client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
  proxy_temp_path {own}/proxy; client_body_temp_path {own}/body;
  fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  upstream site {{ server {origin} max_fails=0; keepalive 4; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_set_header Host $host; proxy_ignore_client_abort on; proxy_next_upstream off;
    }}
  }}
}}
"
    )
}

fn haproxy(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global
  nbthread 1
  maxconn 500
defaults
  mode http
  retries 0
  timeout connect 5s
  timeout client 1s
  timeout server 5s
  timeout http-request 1s
  timeout http-keep-alive 1s
frontend front
  bind {address}
  default_backend site
backend site
  server one {origin}
"
    )
}

fn seawall_toml(own: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "state_dir = \"{}/state\"
workers = 1
memory = \"64MiB\"
disk = \"64MiB\"

[[listen]]
address = \"{address}\"

[[site]]
hosts = [\"*\"]
origin = \"http://{origin}\"

[limits]
max_offences = 1000000

[log]
enabled = false
",
        own.display()
    )
}
