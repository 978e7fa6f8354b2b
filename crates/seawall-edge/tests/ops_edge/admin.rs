use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use seawall_edge::admin::{
    AdminError, AdminServer, AdminView, Answer, ArchiveChange, ArchiveRefusal, ArchiveStatus,
    ArchivedPage, AttributeValues, ClientError, EmergencyChange, Import, ImportReport, Noted,
    Order, OrderRefusal, OriginStatus, Outcome, Pass, Purge, Standing, State, Status, query, send,
};
use seawall_report::Note;

#[derive(Default)]
struct View {
    purged: Mutex<Vec<Purge>>,
}

impl AdminView for View {
    fn status(&self) -> Status {
        Status {
            version: "0.1.0",
            uptime_s: 7,
            state: State::Normal,
            requests_per_s: 1.5,
            origin: OriginStatus {
                limit: 256,
                in_flight: 3,
                healthy: true,
                ..OriginStatus::default()
            },
            work_by_country: Vec::new(),
            lists: Vec::new(),
            emergency: false,
            alarms: Vec::new(),
            expected_per_s: 0.0,
            baseline_clients: 0,
            baseline_is_generated: false,
            mode: "act",
            mitigations: Vec::new(),
            memory_bytes: 1_000,
            memory_pressure: 0,
            evidence_fault: None,
            events: Vec::new(),
        }
    }

    fn metrics(&self) -> String {
        "seawall_build_info{version=\"x\"} 1\n".to_owned()
    }

    fn purge(&self, what: Purge) -> Result<usize, String> {
        if what == Purge::Tag("unwritable".to_owned()) {
            return Err("the disk is full".to_owned());
        }
        self.purged.lock().expect("no panic in view").push(what);
        Ok(3)
    }

    fn pass(&self, days: u8) -> Result<Pass, String> {
        Ok(Pass { path: "/x".to_owned(), hosts: Vec::new(), open_hours: 24, days })
    }

    fn archived_page(&self, _: &str) -> Result<Vec<ArchivedPage>, String> {
        Ok(Vec::new())
    }

    fn archive(&self, _: Option<&str>) -> Result<Vec<ArchiveStatus>, ArchiveRefusal> {
        Ok(Vec::new())
    }

    fn change_archive(
        &self,
        what: ArchiveChange,
        site: Option<&str>,
    ) -> Result<(), ArchiveRefusal> {
        match (what, site) {
            (_, Some(site)) => Err(ArchiveRefusal::NoSite(site.to_owned())),
            (ArchiveChange::Seal, _) => Err(ArchiveRefusal::Failed("the disk is full".to_owned())),
            _ => Ok(()),
        }
    }

    fn import(&self, what: &Import, records: Vec<u8>) -> Result<ImportReport, ArchiveRefusal> {
        if let Some(site) = &what.site {
            return Err(ArchiveRefusal::NoSite(site.clone()));
        }
        let counts = [("stored", records.len() as u64)].into();
        Ok(ImportReport { counts, ..ImportReport::default() })
    }

    fn max_import_bytes(&self) -> u64 {
        1 << 20
    }

    fn mitigations(&self) -> Standing {
        Standing {
            mode: "act",
            watching: true,
            state: State::Normal,
            alarms: Vec::new(),
            expected_per_s: 0.0,
            baseline_clients: 0,
            run: "0abc00000001".to_owned(),
            measures: Vec::new(),
            addresses: Vec::new(),
        }
    }

    fn values(&self) -> Result<Vec<AttributeValues>, OrderRefusal> {
        Ok(Vec::new())
    }

    fn order(&self, order: &Order, is_dry: bool) -> Result<Outcome, OrderRefusal> {
        let (what, hint) = ("there is no mitigation `7`".to_owned(), "look".to_owned());
        match order {
            Order::Remove(7) => Err(OrderRefusal { status: 404, what, hint }),
            _ => Ok(Outcome { done: !is_dry, ..Outcome::default() }),
        }
    }

    fn note(&self, incident: &str, note: Note) -> Result<Noted, OrderRefusal> {
        assert_eq!(incident, "20261122T100800Z-0abc");
        Ok(Noted { head: note.text, ..Noted::default() })
    }

    fn emergency(&self, _: EmergencyChange) {}
}

/// Serves while `client` runs on a thread of its own.
fn with_server<T: Send + 'static>(
    bind: impl FnOnce() -> Result<AdminServer, AdminError>,
    client: impl FnOnce(Option<SocketAddr>) -> T + Send + 'static,
) -> (T, Vec<Purge>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let view = Arc::new(View::default());
    let result = runtime.expect("runtime").block_on(async {
        let server = bind().expect("doors open");
        let address = server.local_addr();
        let asked = tokio::task::spawn_blocking(move || client(address));
        tokio::select! {
            () = server.serve(view.clone()) => unreachable!("serves until it is dropped"),
            asked = asked => asked.expect("client ends"),
        }
    });
    let purged = view.purged.lock().expect("no panic in view").clone();
    (result, purged)
}

fn over_tcp(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    answer
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn records_are_brought_over_the_socket_within_bounds() {
    let dir = crate::temp_dir();
    let path = dir.path().join("admin.sock");
    let client = {
        let path = path.clone();
        move |_| {
            let bring = |target: &str, bytes: usize| {
                let answer = send(&path, target, &vec![7; bytes]).expect("an answer");
                (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
            };
            let (status, body) = bring("/archive/import", 1 << 20);
            assert_eq!(status, 200);
            assert!(body.contains("\"stored\":1048576"), "{body}");
            assert!(bring("/archive/import?begin=1", 0).1.contains("\"stored\":0"));
            assert_eq!(bring("/archive/import?site=other.example", 9).0, 404);
            assert_eq!(bring("/archive/import", (1 << 20) + 1).0, 413);
            let note = serde_json::to_vec(&Note { text: "said".to_owned(), ..Note::default() });
            let noted = send(&path, "/note?incident=20261122T100800Z-0abc", &note.expect("JSON"));
            let noted = noted.expect("an answer");
            assert_eq!(noted.status, 200);
            assert!(String::from_utf8_lossy(&noted.body).contains("\"head\":\"said\""));
            assert_eq!(bring("/note?incident=20261122T100800Z-0abc", 9).0, 400);
            assert_eq!(bring("/note?incident=20261122T100800Z-0abc", 65_537).0, 413);
            assert_eq!(bring("/note", 9).0, 400);
            // Nothing else takes content of that size.
            assert_eq!(bring("/purge?all=1", 1 << 20).0, 413);
            assert_eq!(bring("/purge?all=1", 9).0, 200);
        }
    };
    let ((), purged) = with_server(|| AdminServer::bind(Some(&path), None, None), client);
    assert_eq!(purged, [Purge::All]);
}

#[test]
fn socket_answers_status_metrics_and_purge() {
    let dir = crate::temp_dir();
    let path = dir.path().join("run/admin.sock");
    let client = {
        let path = path.clone();
        move |_| {
            let mode = fs::metadata(&path).expect("socket is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            [
                "GET /status",
                "GET /metrics",
                "POST /purge?tag=news",
                "POST /purge?tag=unwritable",
                "GET /nowhere",
            ]
            .map(|request| {
                let (method, target) = request.split_once(' ').expect("two words");
                query(&path, method, target).expect("answers")
            })
        }
    };
    let (answers, purged) = with_server(|| AdminServer::bind(Some(&path), None, None), client);
    let [status, metrics, purge, unwritable, nowhere] = answers;
    let want = r#"{"version":"0.1.0","uptime_s":7,"state":"normal","requests_per_s":1.5,"origin":{"limit":256,"in_flight":3,"queued":0,"waiting":{"signed_in":0,"aged_reader":0,"passed":0,"anonymous":0,"demoted":0,"background":0},"oldest_wait_ms":0,"streams":0,"slowdown":0.0,"shedding":false,"healthy":true},"work_by_country":[],"lists":[],"emergency":false,"alarms":[],"expected_per_s":0.0,"baseline_clients":0,"baseline_is_generated":false,"mode":"act","mitigations":[],"memory_bytes":1000,"memory_pressure":0,"evidence_fault":null,"events":[]}"#;
    assert_eq!(status, Answer { status: 200, body: want.into() });
    assert_eq!(metrics.body, b"seawall_build_info{version=\"x\"} 1\n");
    assert_eq!(purge.body, b"{\"removed\":3}");
    assert_eq!(purged, [Purge::Tag("news".to_owned())]);
    let refused = br#"{"error":"the disk is full"}"#;
    assert_eq!(unwritable, Answer { status: 507, body: refused.to_vec() });
    assert_eq!(nowhere.status, 404);
    assert!(!path.exists(), "the socket's file goes with the server");
}

#[test]
fn orders_are_answered_with_what_became_of_them() {
    let dir = crate::temp_dir();
    let path = dir.path().join("admin.sock");
    let client = {
        let path = path.clone();
        move |_| {
            [
                "GET /mitigations",
                "GET /mitigations/values",
                "POST /mitigations?do=veto&id=7&for_s=60&dry=1",
                "POST /mitigations?do=mode&mode=observe",
                "POST /mitigations?do=remove&id=7",
                "POST /mitigations?do=remove&id=seven",
                "POST /mitigations/values",
                "DELETE /mitigations",
            ]
            .map(|request| {
                let (method, target) = request.split_once(' ').expect("two words");
                let answer = query(&path, method, target).expect("answers");
                (answer.status, String::from_utf8(answer.body).expect("text"))
            })
        }
    };
    let (answers, _) = with_server(|| AdminServer::bind(Some(&path), None, None), client);
    let standing = r#"{"mode":"act","watching":true,"state":"normal","alarms":[],"expected_per_s":0.0,"baseline_clients":0,"run":"0abc00000001","measures":[],"addresses":[]}"#;
    let refused = r#"{"error":"there is no mitigation `7`","hint":"look"}"#;
    let want = [
        (200, standing),
        (200, "[]"),
        (200, r#"{"done":false}"#),
        (200, r#"{"done":true}"#),
        (404, refused),
    ];
    for (got, want) in answers.iter().zip(want) {
        assert_eq!((got.0, got.1.as_str()), want);
    }
    assert_eq!([answers[5].0, answers[6].0, answers[7].0], [400, 405, 405]);
}

#[test]
fn address_takes_changes_only_from_programs() {
    let (answers, purged) = with_server(
        || AdminServer::bind(None, Some(loopback()), None),
        |address| {
            let address = address.expect("has an address");
            [
                "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                "POST /purge?all=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
                "POST /purge?all=1 HTTP/1.1\r\nHost: localhost\r\nX-Seawall-Admin: 1\r\n\r\n",
                "POST /purge?all=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
                "\x16\x03\x01garbage\r\n\r\n",
            ]
            .map(|request| over_tcp(address, request))
        },
    );
    let codes = answers.map(|a| a[9..12].to_owned());
    assert_eq!(codes, ["200", "421", "403", "200", "411", "400"]);
    assert_eq!(purged, [Purge::All]);
}

#[test]
fn token_opens_the_address_and_nothing_else_does() {
    let (codes, _) = with_server(
        || AdminServer::bind(None, Some(loopback()), Some("s3cret")),
        |address| {
            ["Authorization: Bearer s3cret\r\n", "Authorization: Bearer wrong\r\n", ""].map(
                |field| {
                    let request = format!("GET /status HTTP/1.1\r\nHost: x.example\r\n{field}\r\n");
                    over_tcp(address.expect("has an address"), &request)[9..12].to_owned()
                },
            )
        },
    );
    assert_eq!(codes, ["200", "401", "401"]);
}

#[test]
fn endless_head_is_cut_off() {
    let (answer, _) = with_server(
        || AdminServer::bind(None, Some(loopback()), None),
        |address| {
            let head = format!("GET /status HTTP/1.1\r\nX: {}", "x".repeat(9_000));
            over_tcp(address.expect("has an address"), &head)
        },
    );
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[track_caller]
fn check_bind(socket: Option<&Path>, address: Option<SocketAddr>, want: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let _entered = runtime.as_ref().expect("runtime").enter();
    let error = AdminServer::bind(socket, address, None).expect_err("must not open");
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn stale_socket_is_replaced() {
    let dir = crate::temp_dir();
    let path = dir.path().join("admin.sock");
    drop(UnixListener::bind(&path).expect("bind"));
    assert!(path.exists(), "a dead listener leaves its file");
    let client = {
        let path = path.clone();
        move |_| query(&path, "GET", "/status").expect("answers").status
    };
    assert_eq!(with_server(|| AdminServer::bind(Some(&path), None, None), client).0, 200);
}

#[test]
fn living_socket_and_foreign_file_are_left_alone() {
    let dir = crate::temp_dir();
    let path = dir.path().join("admin.sock");
    let _alive = UnixListener::bind(&path).expect("bind");
    check_bind(Some(&path), None, "running twice");
    let file = dir.path().join("file");
    fs::write(&file, "precious").expect("file");
    check_bind(Some(&file), None, "is no socket");
    assert_eq!(fs::read_to_string(&file).expect("file stays"), "precious");
}

#[test]
fn public_address_wants_a_token() {
    check_bind(None, Some(SocketAddr::from(([0, 0, 0, 0], 0))), "there is no token");
}

#[test]
fn nobody_running_is_said_so() {
    let dir = crate::temp_dir();
    let error = query(&dir.path().join("none"), "GET", "/status").expect_err("nobody listens");
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("no running seawall"), "{error}");
}
