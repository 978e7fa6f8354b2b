"""TLS connections one after the other, for `cargo xtask bench admission`.

hellos.py PORT COUNT ADDRESS OUTCOME: each begins with a PROXY header that names ADDRESS as the client.
OUTCOME is `shaken` (a full handshake, then closed) or `closed` (the server closes after the hello).
Prints how many ended that way. Connects to 127.0.0.1 alone.
"""

import socket
import ssl
import sys

port, count, address, outcome = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
header = f"PROXY TCP4 {address} 127.0.0.1 40000 {port}\r\n".encode()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
# The bytes of a hello as this library sends it.
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
silent = context.wrap_bio(incoming, outgoing, server_hostname="example.org")
try:
    silent.do_handshake()
except ssl.SSLWantReadError:
    pass
hello = outgoing.read()

ended = 0
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if outcome == "shaken":
            connection.sendall(header)
            # A new context each time would be a new session as well; here none is ever offered.
            with context.wrap_socket(connection, server_hostname="example.org"):
                ended += 1
        else:
            connection.sendall(header + hello)
            # An alert and the end, or the end alone.
            while connection.recv(1024):
                pass
            ended += 1
    except ConnectionResetError:
        ended += outcome == "closed"
    finally:
        connection.close()
print(f"{outcome} {ended}")
