//! The ground that all attacks share: the sample site behind the instances, and a certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use seawall_rehearse::attack::{Arena, Attack};
use seawall_rehearse::site::{HOST, Model, Origin};
use seawall_rehearse::{Budget, LoopbackAddr, RunKey, draw_random};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::folder::Folder;
use super::instance::{Instance, Job};
use super::report::Line;
use super::{rows, system};
use crate::output::Failure;

/// The whole run is over after this in any case.
const LONGEST: Duration = Duration::from_secs(240);
/// Connections open at once.
const MAX_CONNECTIONS: usize = 1_000;

pub(super) struct Ground {
    folder: Folder,
    key: RunKey,
    origin: SocketAddr,
    cert: PathBuf,
    private_key: PathBuf,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    budget: Budget,
}

impl Ground {
    /// Makes everything and starts the sample site on the current runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) async fn prepare() -> Result<Self, Failure> {
        let folder = Folder::make().map_err(|error| system("make a temporary folder", &error))?;
        let key = RunKey::draw().map_err(|error| system("draw a random key", &error))?;
        let bound = TcpListener::bind("127.0.0.1:0").await;
        let listener = bound.map_err(|error| system("listen on loopback", &error))?;
        let address = listener.local_addr();
        let origin = address.map_err(|error| system("listen on loopback", &error))?;
        let site = Origin::new(1, key.clone(), Model::default());
        tokio::spawn(async move { site.serve(listener).await });
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()])
            .map_err(|error| system("make a certificate", &error))?;
        let cert = folder.path().join("cert.pem");
        let private_key = folder.path().join("key.pem");
        fs::write(&cert, made.cert.pem())
            .and_then(|()| fs::write(&private_key, made.signing_key.serialize_pem()))
            .map_err(|error| system("write a certificate", &error))?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(|error| system("use a certificate", &error))?;
        let client = |protocol: &str| {
            let roots = roots.clone();
            let mut config =
                ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            Arc::new(config)
        };
        let (http1, http2) = (client("http/1.1"), client("h2"));
        let budget = Budget::new(Instant::now(), LONGEST, MAX_CONNECTIONS);
        Ok(Self { folder, key, origin, cert, private_key, http1, http2, budget })
    }

    /// Carries out one attack on a fresh instance.
    ///
    /// # Errors
    /// When the instance cannot be started, or is not ours.
    pub(super) async fn meet(
        &self,
        attack: Attack,
        weaken: Option<Attack>,
    ) -> Result<Line, Failure> {
        let job = Job {
            state: self.folder.path().join(attack.name()),
            origin: self.origin,
            cert: self.cert.clone(),
            key: self.private_key.clone(),
            attack: attack.name().to_owned(),
            weaken: weaken.map(|attack| attack.name().to_owned()),
        };
        let instance = Instance::start(&job).map_err(|error| system("start", &error))?;
        let arena = self.enter(&instance).await?;
        let before = instance.processor_time();
        let felt = attack.run(&arena).await;
        let cpu = instance.processor_time().saturating_sub(before);
        let row = rows::row(attack);
        let fault = rows::fault(&row, &felt, instance.count(row.sign));
        let (limit, event) = (row.limit, row.sign.name());
        Ok(Line { attack, limit, event, felt, cpu, fault })
    }

    async fn enter<'a>(&self, instance: &'a Instance) -> Result<Arena<'a>, Failure> {
        let challenge = || draw_random().map_err(|error| system("draw a number", &error));
        let plain = LoopbackAddr::verify(instance.plain, &self.key, challenge()?).await;
        let http1 = Arc::clone(&self.http1);
        let tls = LoopbackAddr::verify_tls(instance.tls, &self.key, challenge()?, http1).await;
        let not_ours = |error| system("make sure of the instance", &error);
        Ok(Arena {
            plain: plain.map_err(not_ours)?,
            tls: tls.map_err(not_ours)?,
            http2: Arc::clone(&self.http2),
            budget: self.budget.clone(),
            probe: instance,
        })
    }
}
