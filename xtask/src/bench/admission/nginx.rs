//! nginx as a site owner would run it before the same origin, for comparison.
//!
//! Separate from the nginx of the other cases, which is tuned to win a race: this one has what Debian
//! ships (a worker a core with 768 connections each, the default time-outs) and a page cache.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound, found, free_port, is_root, write};

/// How long it may take to listen on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(15);

/// A running nginx.
pub(super) struct Nginx {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    /// Ended when this goes.
    _running: Running,
}

impl Nginx {
    /// Starts one in `folder` (which holds the certificate) before `origin`.
    ///
    /// # Errors
    /// When it does not start; its log is beside its folder.
    pub(super) fn start(folder: &Path, name: &str, origin: SocketAddr) -> Outcome<Self> {
        let plain = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let tls = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let own = folder.join(name);
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own)
            .map_err(|error| format!("cannot make `{}`: {error}", own.display()))?;
        let file = own.join("config");
        write(&file, &text(&own, folder, [plain, tls, origin]))?;
        let mut command = bound(&found("nginx")?);
        command.arg("-c").arg(&file).arg("-p").arg(&own).arg("-e").arg("/dev/null");
        let log = folder.join(format!("{name}.log"));
        let mut running = Running::start("nginx", &mut command, &log)?;
        let hint = |error: String| format!("{error} (log: {})", log.display());
        running.wait_for(plain, START_LIMIT).map_err(hint)?;
        running.wait_for(tls, START_LIMIT).map_err(hint)?;
        Ok(Self { plain, tls, _running: running })
    }
}

fn text(own: &Path, folder: &Path, [plain, tls, origin]: [SocketAddr; 3]) -> String {
    let user = if is_root() { "user root; " } else { "" };
    let (own, folder) = (own.display(), folder.display());
    format!(
        "{user}daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid {own}/pid;
error_log /dev/null crit; events {{ worker_connections 768; }}
http {{
  access_log off; server_tokens off;
  proxy_cache_path {own}/cache keys_zone=pages:10m inactive=1d max_size=1g;
  proxy_temp_path {own}/proxy; client_body_temp_path {own}/body;
  fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
  upstream site {{ server {origin}; keepalive 16; }}
  server {{
    listen {plain}; listen {tls} ssl http2; client_max_body_size 1g;
    location / {{
      proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_cache pages; proxy_cache_valid 200 10s; proxy_cache_lock on;
      proxy_cache_use_stale updating error timeout http_503; proxy_cache_background_update on;
    }}
  }}
}}
"
    )
}
