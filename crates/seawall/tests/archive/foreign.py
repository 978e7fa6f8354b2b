"""Makes foreign.wacz: what a package of other tools has that ours do not.

Content as it was on the wire (coded, chunked), digests of SHA-1, requests, revisits, answers that no archive
of ours keeps. Run with warcio 1.8.1 and wacz 0.6.0 installed: python3 foreign.py
"""

import gzip
import io
import subprocess

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

HTML = ("Content-Type", "text/html; charset=utf-8")


def main():
    with open("data.warc.gz", "wb") as out:
        writer = WARCWriter(out, gzip=True, warc_version="1.1")
        writer.write_record(writer.create_warcinfo_record("data.warc.gz", {"software": "foreign.py"}))

        def response(url, status, headers, body, date="2026-03-01T10:00:00Z"):
            head = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
            record = writer.create_warc_record(
                url, "response", payload=io.BytesIO(body), http_headers=head,
                warc_headers_dict={"WARC-Date": date})
            writer.write_record(record)
            return record

        coded = gzip.compress(b"<!doctype html><title>Front</title><p>coded and chunked", mtime=0)
        chunked = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (9, coded[:9], len(coded) - 9, coded[9:])
        front = response(
            "https://example.org/", "200 OK",
            [HTML, ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")], chunked)
        writer.write_record(writer.create_warc_record(
            "https://example.org/", "request",
            http_headers=StatusAndHeaders("GET / HTTP/1.1", [("Host", "example.org")], is_http_request=True),
            warc_headers_dict={"WARC-Date": "2026-03-01T10:00:00Z"}))
        response("https://example.org/a.png", "200 OK", [("Content-Type", "image/png")], b"\x00" * 600)
        response("http://example.org/plain", "200 OK", [HTML],
                 b"<!doctype html><title>Plain</title><p>over http")
        response("http://example.org/self", "301 Moved", [("Location", "https://example.org/self")], b"")
        response("https://cdn.example.net/x.js", "200 OK", [("Content-Type", "text/javascript")], b"1")
        response("https://example.org/cookie", "200 OK", [HTML, ("Set-Cookie", "a=b")], b"<p>x")
        response("https://example.org/mine", "200 OK", [HTML, ("Cache-Control", "private")], b"<p>x")
        response("https://example.org/missing", "404 Not Found", [HTML], b"<p>x")
        response("https://example.org/broken", "500 Oh", [HTML], b"<p>x")
        response("https://example.org/wp-login.php", "200 OK", [HTML], b"<p>x")

        def revisit(url, date, of, of_date):
            writer.write_record(writer.create_revisit_record(
                url, front.rec_headers.get_header("WARC-Payload-Digest"), of, of_date,
                http_headers=StatusAndHeaders("200 OK", [HTML], protocol="HTTP/1.1"),
                warc_headers_dict={"WARC-Date": date}))

        revisit("https://example.org/", "2026-03-02T10:00:00Z",
                "https://example.org/", "2026-03-01T10:00:00Z")
        revisit("https://example.org/lost", "2026-03-02T10:00:00Z",
                "https://example.org/not-in-here", "2026-03-01T10:00:00Z")
    subprocess.run(["wacz", "create", "-o", "foreign.wacz", "data.warc.gz"], check=True)


if __name__ == "__main__":
    main()
