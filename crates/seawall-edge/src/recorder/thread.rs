//! The thread that writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use seawall_report::{Addresses, Entry, Moment};
use seawall_seal::{Digest, Hasher, Recipient, encrypt};

use super::disk::{Disk, Folder};
use super::keep::{Expiry, Room};
use super::stamps::{Asker, Remote, Stamps};
use super::story::Output;
use super::writer::Writer;
use super::{About, Around, Message, Recorder, Story, keep};
use crate::archive::sealing_key;
use crate::clock;
use crate::config::{Config, Listen};
use crate::shared::Shared;

/// Parts of the disk budget that records may take.
const DISK_SHARE: u64 = 5;

/// Begins to record, if it is wanted and possible; else says why not.
pub(crate) fn start(shared: &Arc<Shared>, seed: [u64; 2], is_rehearsal: bool) -> Option<Recorder> {
    // Of whom nobody takes note, nothing is recorded.
    let vouched = Arc::clone(shared.vouched.as_ref()?);
    let policy = shared.policy.load();
    let config = &policy.config;
    let key = match sealing_key(&config.state_dir) {
        Ok(key) => Arc::new(key),
        Err(error) => {
            tracing::error!("incidents are not recorded: {error}");
            return None;
        }
    };
    let max_bytes = config.disk_bytes / 100 * DISK_SHARE;
    let counters = Arc::clone(&shared.evidence);
    let folder = Folder::new(&config.state_dir);
    let mut writer = Writer::new(folder, key, Arc::clone(&counters), max_bytes);
    let room = Room::new(&config.evidence, max_bytes);
    let recipients = config.evidence.encrypt_to.clone();
    // A rehearsal speaks with nobody outside.
    let authority = config.evidence.timestamp_authority.clone().filter(|_| !is_rehearsal);
    let stamps = authority.and_then(|authority| match Remote::start(authority.clone()) {
        Ok(remote) => Some(Stamps::new(remote, authority.url)),
        Err(error) => {
            tracing::error!("incident records get no stamps of the time: {error}");
            None
        }
    });
    let (sender, messages) = sync_channel(BATCHES);
    let thread = std::thread::Builder::new().name("seawall-record".to_owned());
    let run = move || {
        keep::end_interrupted(&mut writer, clock::wall().into());
        write(&mut writer, &messages, room, &recipients, stamps);
    };
    let thread = match thread.spawn(run) {
        Ok(thread) => thread,
        Err(error) => {
            tracing::error!("incidents are not recorded: {error}");
            return None;
        }
    };
    shared.notes.open(sender.clone());
    let about = about(config, shared, is_rehearsal);
    let story = Story::with_vouched(about, seed, vouched);
    let around = Around::new(Arc::clone(shared));
    Some(Recorder { story, around, sender, counters, thread, kept: Vec::new(), lost: None })
}

fn about(config: &Config, shared: &Shared, is_rehearsal: bool) -> About {
    use seawall_report::RecordOrigin::{Live, Rehearsal};
    About {
        listens: config.listen.iter().map(|listen| listen.address.to_string()).collect(),
        destination: destination(&config.listen),
        origin: if is_rehearsal { Rehearsal } else { Live },
        reconstructed: None,
        run: shared.run.text(),
        retention: config.evidence.retention,
        record_retention: config.evidence.record_retention,
    }
}

/// Where whoever connects to the program itself has to connect to: the one public address and port that it listens on. Of
/// several, or any address of the machine, it is not known which, and what is forwarded was sent to another.
fn destination(listens: &[Listen]) -> Option<SocketAddr> {
    let [listen] = listens else { return None };
    let is_own = !listen.proxy_protocol && listen.public_port.is_none();
    let to = listen.address;
    let is_public = match to.ip() {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_private() || ip.is_loopback() || ip.is_link_local())
        }
        IpAddr::V6(ip) => {
            let is_inner = ip.is_unique_local() || ip.is_unicast_link_local();
            !(ip.is_unspecified() || ip.is_loopback() || is_inner)
        }
    };
    (is_own && is_public && to.port() > 0).then_some(to)
}

/// Writes what comes until nobody sends any more.
fn write<D: Disk, A: Asker>(
    writer: &mut Writer<D>,
    messages: &Receiver<Message>,
    mut room: Room,
    recipients: &[Recipient],
    mut stamps: Option<Stamps<A>>,
) {
    let (mut looked, mut expiry): (Option<Moment>, _) = (None, Expiry::default());
    loop {
        let received = messages.recv_timeout(TURN);
        let now = Moment::from(clock::wall());
        if looked.is_none_or(|looked| now.seconds_since(looked) >= LOOK_EVERY_S || now < looked) {
            looked = Some(now);
            room.make(writer, now);
        }
        expiry.turn(writer, now);
        keep::strike(writer, now);
        if let Some(stamps) = &mut stamps {
            stamps.turn(writer, now);
        }
        match received {
            Ok(Message::Note(asked)) => asked.answer(writer, now),
            Ok(Message::Lines(mut batch)) => {
                batch.outputs.iter_mut().for_each(|output| complete(output, recipients));
                writer.take(batch.at, batch.outputs);
            }
            Err(RecvTimeoutError::Timeout) => writer.turn(now),
            Err(RecvTimeoutError::Disconnected) => return writer.turn(now),
        }
    }
}

/// Fills in what only this thread may take the time for.
pub(super) fn complete(output: &mut Output, recipients: &[Recipient]) {
    match output {
        Output::Begin(begin) => begin.software_sha256 = own_digest().ok().map(|it| it.to_string()),
        Output::Addresses(_, entry) => {
            if let Entry::Addresses(told) = &mut **entry {
                let mut salt = [0; 16];
                if getrandom::fill(&mut salt).is_err() {
                    // Without it a digest could be guessed back: then they are not told.
                    told.addresses.clear();
                    told.count = 0;
                }
                told.salt = salt.iter().map(|byte| format!("{byte:02x}")).collect();
                encrypt_addresses(told, recipients);
            }
        }
        Output::Line(_) | Output::Strike(_) | Output::Seal | Output::Conclude => {}
    }
}

/// Leaves the addresses to `recipients` alone, if there are any. If that fails nobody is told them.
fn encrypt_addresses(told: &mut Addresses, recipients: &[Recipient]) {
    if recipients.is_empty() || told.addresses.is_empty() {
        return;
    }
    let plain = serde_json::to_vec(&told.addresses).expect("structures of strings and numbers");
    told.addresses.clear();
    match encrypt(&plain, recipients) {
        Ok(armour) => told.age = Some(armour),
        Err(error) => {
            told.count = 0;
            tracing::error!("addresses of an incident are not recorded: {error}");
        }
    }
}

/// SHA-256 of the program that runs.
fn own_digest() -> io::Result<Digest> {
    let mut file = File::open("/proc/self/exe")?;
    let (mut hasher, mut piece) = (Hasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&piece[..count]),
        }
    }
}

/// Ticks of a minute: a disk that hangs for so long costs lines.
const BATCHES: usize = 240;
const TURN: Duration = Duration::from_secs(1);
const LOOK_EVERY_S: f64 = 3_600.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str) -> Listen {
        let address = address.parse().expect("an address");
        Listen { address, tls: true, proxy_protocol: false, public_port: None }
    }

    #[test]
    fn a_destination_is_told_only_if_there_is_but_one() {
        let check = |listens: &[Listen], want: Option<&str>| {
            assert_eq!(destination(listens).map(|to| to.to_string()).as_deref(), want);
        };
        for address in ["203.0.113.10:443", "[2001:db8::10]:443"] {
            check(&[listen(address)], Some(address));
            check(&[listen(address), listen("203.0.113.10:80")], None);
            check(&[Listen { proxy_protocol: true, ..listen(address) }], None);
            check(&[Listen { public_port: Some(443), ..listen(address) }], None);
        }
        for address in ["0.0.0.0:443", "[::]:443", "127.0.0.1:443", "10.0.0.1:443", "[fd00::1]:443"]
        {
            check(&[listen(address)], None);
        }
        check(&[listen("203.0.113.10:0")], None);
        check(&[], None);
    }
}
