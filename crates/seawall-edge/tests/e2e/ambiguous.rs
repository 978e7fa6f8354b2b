//! What two readers could understand in two ways is refused, and the origin never sees it.

use crate::client::get;
use crate::origin::Origin;
use crate::shield::Shield;

/// Sends `request`, wants `status` and the end of the connection, and that nothing came through.
#[track_caller]
fn check(name: &str, request: &str, status: u16) {
    let origin = Origin::page("", "hello");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    // What a smuggler hopes for: that the rest is taken for a request of its own.
    client.send_anyway(request).send_anyway(get("/smuggled", ""));
    let got = client.read("GET");
    assert_eq!(got.status, status, "{name}: {}", got.head);
    assert_eq!(got.field("connection").as_deref(), Some("close"), "{name}");
    assert_eq!(client.rest().0, b"", "{name}: nothing after the refusal");
    shield.client().get("/marker", "").assert_status(200);
    assert_eq!(origin.only().path(), "/marker", "{name}");
}

macro_rules! refused {
    ($($name:ident: $status:literal $request:expr;)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $request, $status);
        })*
    };
}

refused! {
    both_lengths: 400 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    two_different_lengths: 400 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde";
    a_length_with_a_sign: 400 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd";
    a_list_of_lengths: 400 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcde";
    folded_line: 400 "GET / HTTP/1.1\r\nHost: a\r\nX-Long: a\r\n b\r\n\r\n";
    bare_line_feed: 400 "GET / HTTP/1.1\nHost: a\n\n";
    bare_line_feed_after_a_field: 400 "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n";
    bare_carriage_return: 400 "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n";
    space_before_the_colon: 400 "GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n";
    null_in_a_value: 400 "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n";
    bad_chunk_size: 400 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n";
    signed_chunk_size: 400 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n";
    chunk_longer_than_it_says: 400 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n";
    huge_chunk_size: 400 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n";
    no_host: 400 "GET / HTTP/1.1\r\nX-A: b\r\n\r\n";
    two_hosts: 400 "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    host_with_a_path: 400 "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n";
    target_and_host_disagree: 400 "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n";
    tabs_in_the_request_line: 400 "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n";
    space_in_the_target: 400 "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n";
    unknown_transfer_coding: 501 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    chunked_in_http_1_0: 400 "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    http_2_without_the_handshake: 505 "GET / HTTP/2.0\r\nHost: a\r\n\r\n";
}
