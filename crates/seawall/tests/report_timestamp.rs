//! Stamps of the time on records, through the real binary, from an authority on loopback that openssl plays.

#[path = "../../seawall-report/tests/authority/mod.rs"]
mod authority;
mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use seawall_report::{Begin, Chain, End, Entry, Moment, RecordVerifier, VerifiedRecord};
use seawall_seal::SigningKey;

use crate::common::{Ran, Shield, run_by, run_in};

/// Not over for a week, on whatever day this runs: the program asks for nothing older.
const ID: &str = "21991122T100800Z-0abc";

/// A state folder with one record, and an authority.
struct Place {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Place {
    /// `None` where openssl is missing.
    fn new(is_closed: bool) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Self { dir, key: SigningKey::generate().expect("a key") };
        if !authority::make(place.dir.path()) {
            return None;
        }
        let at = Moment::from_unix_ms(1_795_342_080_000);
        let begin = Begin { incident: ID.to_owned(), since: at, ..Begin::default() };
        let (mut chain, mut bytes) = Chain::begin(&begin, &place.key).expect("short");
        bytes.extend(chain.seal(&place.key, at).expect("it has begun"));
        if is_closed {
            bytes.extend(chain.append(&Entry::End(Box::<End>::default())).expect("short"));
            bytes.extend(chain.seal(&place.key, at).expect("one entry"));
        }
        fs::create_dir_all(place.path(&format!("state/incidents/{ID}"))).expect("own folder");
        fs::write(place.record(), bytes).expect("own folder");
        let pem = place.key.to_pem().expect("text");
        fs::write(place.path("state/sealing-key.pem"), pem).expect("own folder");
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn record(&self) -> PathBuf {
        self.path(&format!("state/incidents/{ID}/record.jsonl"))
    }

    /// Plays the authority for one question, while `ask` has its address: `answer` makes of the question in the file `query`
    /// what is said.
    fn with_authority<T: Send>(
        &self,
        answer: impl Fn(&Self) -> Vec<u8>,
        ask: impl FnOnce(&str) -> T + Send,
    ) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        std::thread::scope(|scope| {
            let asking = scope.spawn(move || {
                let told = ask(&format!("http://127.0.0.1:{port}/tsr"));
                // Where nobody was asked, what waits below is let go.
                let _ = TcpStream::connect(("127.0.0.1", port));
                told
            });
            let (mut stream, _) = listener.accept().expect("it is asked");
            self.play(&mut stream, answer).expect("loopback");
            drop(stream);
            asking.join().expect("it ends")
        })
    }

    /// The same over TLS, with a certificate for the name or address `name`, which is in the file `ca.pem`: what the command
    /// said, and whether the authority was asked anything.
    fn stamped_over_tls(&self, name: &str, trusted: &str) -> (Ran, bool) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        fs::write(self.path("ca.pem"), made.cert.pem()).expect("own folder");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(vec![made.cert.into()], key))
            .expect("a configuration");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let url = format!("https://{}/tsr", listener.local_addr().expect("bound"));
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || {
                let (stream, _) = listener.accept().expect("it is asked");
                let tls = ServerConnection::new(Arc::new(config)).expect("a server");
                self.play(&mut StreamOwned::new(tls, stream), stamp).is_ok()
            });
            let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
            // As the system's own list would be, if it had this authority.
            command.current_dir(self.dir.path()).env("SSL_CERT_FILE", trusted);
            let args = ["report", "timestamp", "last", "--state", "state", "--authority", &url];
            let ran = run_by(&mut command, &args);
            (ran, asked.join().expect("it ends"))
        })
    }

    /// Reads a question and answers it.
    fn play(
        &self,
        stream: &mut (impl Read + Write),
        answer: impl Fn(&Self) -> Vec<u8>,
    ) -> io::Result<()> {
        fs::write(self.path("query"), question(stream)?).expect("own folder");
        let answer = answer(self);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        // It may have heard enough before the end.
        let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
        Ok(())
    }

    /// `seawall report timestamp` with such an authority.
    fn stamped(&self, answer: impl Fn(&Self) -> Vec<u8>, args: &[&str]) -> Ran {
        let dir = self.dir.path();
        self.with_authority(answer, |url| {
            let asked = ["report", "timestamp", "last", "--state", "state", "--authority", url];
            run_in(dir, &[&asked[..], args].concat())
        })
    }

    fn run(&self, args: &[&str]) -> Ran {
        let args = [&["report", "timestamp", "last"], args, &["--state", "state"]].concat();
        run_in(self.dir.path(), &args)
    }

    /// What the library finds, with the installation's key.
    fn verified(&self) -> VerifiedRecord {
        let mut verifier = RecordVerifier::new(Some(self.key.public()));
        verifier.take(&fs::read(self.record()).expect("it is there"));
        verifier.finish().expect("as it was sealed")
    }
}

/// What stands in a request behind its head.
fn question(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut asked, mut piece) = (Vec::new(), [0; 1024]);
    // It ends with a BOOLEAN that is true.
    while !asked.ends_with(&[0x01, 0x01, 0xff]) {
        match stream.read(&mut piece)? {
            0 => break,
            count => asked.extend(&piece[..count]),
        }
    }
    let head = asked.windows(4).position(|window| window == b"\r\n\r\n");
    Ok(head.map_or(Vec::new(), |end| asked.split_off(end + 4)))
}

fn stamp(place: &Place) -> Vec<u8> {
    authority::reply(place.dir.path())
}

/// The commands of the documentation, as they stand there.
fn commands() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence.md");
    let text = fs::read_to_string(path).expect("it is in the repository");
    let section = text.split("### Time stamps").nth(1).expect("the section");
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    let lines: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
    lines.join("\n")
}

#[test]
fn a_record_that_is_over_is_stamped_and_openssl_agrees_as_the_documentation_says() {
    let Some(place) = Place::new(true) else { return };
    let before = fs::read(place.record()).expect("it is there");
    let ran = place.stamped(stamp, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("segment 2 is stamped"), "{}", ran.stdout);
    let found = place.verified();
    assert_eq!((found.timestamps, found.is_end_stamped, found.complaint()), (1, true, None));
    assert!(ran.stdout.contains(&found.head.expect("sealed").to_string()), "{}", ran.stdout);
    assert!(fs::read(place.record()).expect("it is there").starts_with(&before));

    // Line 7: one line and three that seal it, the end and its digests.
    let record = fs::read_to_string(place.record()).expect("text");
    let seal = record.lines().nth(6).expect("the seal of the end");
    assert!(seal.starts_with("{\"seal\":{\"segment\":2,"), "{seal}");
    fs::write(place.path("statement"), seal).expect("own folder");
    fs::copy(place.path("tsa.pem"), place.path("authorities.pem")).expect("own folder");
    fs::copy(place.record(), place.path("record.jsonl")).expect("own folder");
    let check = || {
        let (mut shell, folder) = (Command::new("sh"), place.dir.path());
        shell.args(["-euc", &commands()]).current_dir(folder).output().expect("a shell")
    };
    let checked = check();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    fs::write(place.path("statement"), seal.replacen("true", "false", 1)).expect("own folder");
    assert!(!check().status.success(), "another seal was not stamped");
}

#[test]
fn the_last_seal_of_a_record_that_was_left_open_is_stamped() {
    let Some(place) = Place::new(false) else { return };
    let head = place.verified().head.expect("sealed").to_string();
    let ran = place.stamped(stamp, &["--json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json["stamped_head"]), (Some(0), &head.into()), "{}", ran.stderr);
    assert_eq!((&json["stamped_segment"], &json["segment"]), (&1.into(), &2.into()));
    let found = place.verified();
    assert_eq!((found.timestamps, found.is_end_stamped, found.is_closed), (1, false, false));
}

#[test]
fn an_answer_that_is_no_stamp_of_the_record_changes_nothing() {
    let Some(place) = Place::new(true) else { return };
    let before = fs::read(place.record()).expect("it is there");
    let check = |answer: &dyn Fn(&Place) -> Vec<u8>, want: &str| {
        place.stamped(answer, &[]).check_failed(1, &["no stamp from", want, "hint:"]);
        assert!(fs::read(place.record()).expect("it is there") == before, "{want}");
    };
    // The answer to an earlier question has another number in it.
    let first = place.stamped(stamp, &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    fs::write(place.record(), &before).expect("own folder");
    let old = fs::read(place.path("reply")).expect("it was written");
    check(&move |_| old.clone(), "of something else");
    check(&|_| Vec::new(), "no time stamp");
    check(&|_| vec![0x30; 70_000], "longer than");
    // Of a digest that openssl does not take, it says so.
    let refused = |place: &Place| {
        authority::spoil_question(place.dir.path());
        stamp(place)
    };
    check(&refused, "status 2");
}

#[test]
fn an_authority_is_asked_over_tls_if_the_system_trusts_it_and_it_is_who_it_says() {
    let Some(place) = Place::new(true) else { return };
    let before = fs::read(place.record()).expect("it is there");
    // Who signs stamps is not whom connections are trusted to.
    for (name, trusted, want) in [
        ("127.0.0.1", "tsa.pem", "nobody whom this system trusts has signed it"),
        ("tsa.example.org", "ca.pem", "only valid for DnsName(\"tsa.example.org\")"),
    ] {
        let (ran, is_asked) = place.stamped_over_tls(name, trusted);
        let begins = "no stamp from `https://127.0.0.1:";
        ran.check_failed(1, &[begins, "its certificate is not accepted: ", want]);
        assert!(!is_asked, "nothing is sent to whom nobody trusts");
        assert!(fs::read(place.record()).expect("it is there") == before, "nothing was written");
    }
    let (ran, is_asked) = place.stamped_over_tls("127.0.0.1", "ca.pem");
    assert_eq!((ran.code, is_asked), (Some(0), true), "{}", ran.stderr);
    assert_eq!((place.verified().timestamps, place.verified().complaint()), (1, None));
}

#[test]
fn nobody_is_asked_without_a_name_or_for_what_cannot_be_added_or_was_altered() {
    let Some(place) = Place::new(true) else { return };
    place.run(&[]).check_failed(2, &["not known whom to ask", "evidence.timestamp_authority"]);
    place.run(&["--authority", "ftp://tsa.example.org"]).check_failed(2, &["unknown scheme"]);
    // Nobody is there, and nobody has to be.
    let authority = ["--authority", "http://127.0.0.1:9/"];
    fs::copy(place.record(), place.path("copy.jsonl")).expect("own folder");
    let copy = ["report", "timestamp", "copy.jsonl", "--state", "state"];
    let ran = run_in(place.dir.path(), &[&copy[..], &authority].concat());
    ran.check_failed(2, &["nothing is added to a copy"]);
    let Some(open) = Place::new(false) else { return };
    let _running = UnixListener::bind(open.path("state/admin.sock")).expect("bound");
    open.run(&authority).check_failed(1, &["the running program is writing"]);
    let text = fs::read_to_string(place.record()).expect("text").replacen("0abc\"", "0abd\"", 1);
    fs::write(place.record(), text).expect("own folder");
    let ran = place.run(&authority);
    ran.check_failed(1, &["not what was sealed", "nothing was asked"]);
}

#[test]
fn the_running_program_has_the_end_of_a_record_stamped() {
    let Some(place) = Place::new(true) else { return };
    let head = place.verified().head.expect("sealed");
    let dir = place.dir.path();
    let code = place.with_authority(stamp, |url| {
        let config = format!(
            "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[site]]\nhosts = [\"*\"]\n\
             origin = \"http://127.0.0.1:9\"\n[evidence]\ntimestamp_authority = \"{url}\"\n"
        );
        fs::write(dir.join("seawall.toml"), config).expect("own folder");
        let mut shield = Shield::start(dir, &["--config", "seawall.toml"]);
        shield.wait_for("the record has a stamp of the time");
        shield.stop()
    });
    assert_eq!(code, Some(0));
    let found = place.verified();
    assert_eq!((found.timestamps, found.is_end_stamped, found.complaint()), (1, true, None));
    let asked = fs::read(place.path("query")).expect("it was asked");
    assert!(asked.windows(32).any(|window| window == head.0), "the head of the chain");
}
