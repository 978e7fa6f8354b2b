"""Holds idle TLS connections to a server on loopback, for `cargo xtask bench`.

usage: idle_tls.py PORT CONNECTIONS

Opens the connections (from many 127.x addresses, as many readers would), prints `open N`, waits
for a line, sends one request on each and reads the answer, prints `asked N`, waits until its
standard input ends or it is killed. Connects to 127.0.0.1 only.
"""

import socket
import ssl
import sys


def main() -> None:
    port, wanted = int(sys.argv[1]), int(sys.argv[2])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connections = []
    for index in range(wanted):
        plain = socket.socket()
        plain.settimeout(20)
        plain.bind((f"127.1.{index // 200}.{index % 200 + 1}", 0))
        plain.connect(("127.0.0.1", port))
        connections.append(context.wrap_socket(plain, server_hostname="example.org"))
    print("open", len(connections), flush=True)

    sys.stdin.readline()
    answered = 0
    for connection in connections:
        try:
            connection.sendall(b"GET /1k.html HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answered += read_answer(connection)
        except OSError:
            pass
    print("asked", answered, flush=True)
    sys.stdin.readline()


def read_answer(connection: ssl.SSLSocket) -> bool:
    """Reads one answer with a length; whether it was a 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return False
        data += chunk
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head.startswith(b"HTTP/1.1 200")


main()
