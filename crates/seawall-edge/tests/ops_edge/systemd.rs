use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use seawall_edge::systemd::{Notifier, monotonic_clock, watchdog_interval};

#[track_caller]
fn check_received(socket: &UnixDatagram, want: &str) {
    socket.set_nonblocking(true).expect("socket option");
    let mut buffer = [0u8; 256];
    let length = socket.recv(&mut buffer).expect("a message is there");
    assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(want));
}

#[test]
fn messages_reach_a_socket_with_a_path() {
    let dir = crate::temp_dir();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bind");
    let notifier = Notifier::new(Some(path.into_os_string()));
    assert!(notifier.is_active());
    notifier.ready("serving 2 sites\nMAINPID=1");
    check_received(&socket, "READY=1\nSTATUS=serving 2 sites MAINPID=1");
    notifier.reloading(Duration::from_micros(12_345));
    check_received(&socket, "RELOADING=1\nMONOTONIC_USEC=12345");
    notifier.stopping("draining");
    check_received(&socket, "STOPPING=1\nSTATUS=draining");
    notifier.status("quiet");
    check_received(&socket, "STATUS=quiet");
    notifier.watchdog();
    check_received(&socket, "WATCHDOG=1");
}

#[test]
fn messages_reach_an_abstract_socket() {
    let name = format!("seawall-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("abstract name");
    let socket = UnixDatagram::bind_addr(&address).expect("bind");
    Notifier::new(Some(OsString::from(format!("@{name}")))).watchdog();
    check_received(&socket, "WATCHDOG=1");
}

#[test]
fn without_a_manager_nothing_happens() {
    let gone = crate::temp_dir().path().join("gone").into_os_string();
    for address in
        [None, Some("".into()), Some("vsock:2:1".into()), Some("relative".into()), Some(gone)]
    {
        Notifier::new(address).ready("x");
    }
    assert!(!Notifier::new(None).is_active());
}

#[test]
fn watchdog_is_fed_at_half_its_period() {
    let second = Some(Duration::from_millis(500));
    assert_eq!(watchdog_interval(Some("1000000"), None, 7), second);
    assert_eq!(watchdog_interval(Some("1000000"), Some("7"), 7), second);
    assert_eq!(watchdog_interval(Some("1000000"), Some("8"), 7), None);
    assert_eq!(watchdog_interval(Some("0"), None, 7), None);
    assert_eq!(watchdog_interval(Some("x"), None, 7), None);
    assert_eq!(watchdog_interval(None, None, 7), None);
    assert!(monotonic_clock() > Duration::ZERO);
}
