"""A bounded flood of one port on loopback, from many addresses in 127/8.

usage: flood.py PORT CONNECTIONS SOURCES RATE SECONDS KIND

KIND: `page` asks for one page again and again, `busting` for the front page with another made-up
query each time, `search` for another search each time. A closed loop: a connection waits for its
answer before it asks again, and all of them together never ask more often than RATE a second. A
connection that ends is made again from the next address. Prints one JSON object at the end, which is
after SECONDS or when the standard input ends.
"""

import collections
import json
import random
import select
import socket
import sys
import time

PORT, CONNECTIONS, SOURCES = (int(value) for value in sys.argv[1:4])
RATE, SECONDS, KIND = float(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
MOST_SECONDS, MOST_RATE, MOST_CONNECTIONS = 900, 6000, 5000
# The kernel's IP_BIND_ADDRESS_NO_PORT: the port is chosen when the connection is made.
BIND_ADDRESS_NO_PORT = 24
NAP = 0.001


def source(number):
    number %= SOURCES
    return f"127.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def target():
    if KIND == "page":
        return "/story-250/"
    if KIND == "busting":
        return f"/?{random.randrange(1 << 40):x}={random.randrange(1 << 40):x}"
    return f"/?s={random.randrange(1 << 40):x}"


class Bot:
    """One connection, and what it waits for."""

    def __init__(self, number):
        self.number = number
        self.socket = None
        self.got = b""
        self.left = None
        self.waits = self.closes = False

    def connect(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((source(self.number), 0))
        # On loopback this ends at once, one way or the other.
        self.socket.connect(("127.0.0.1", PORT))
        self.socket.setblocking(False)

    def ask(self):
        if self.socket is None:
            self.connect()
            flood.register(self.socket.fileno(), select.EPOLLIN)
            bots[self.socket.fileno()] = self
        self.got, self.left, self.waits = b"", None, True
        head = f"GET {target()} HTTP/1.1\r\nHost: example.test\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"
        self.socket.send(head.encode())

    def hear(self):
        """Takes what came: True when the answer is whole, None when the connection is at its end."""
        data = self.socket.recv(1 << 18)
        if not data:
            return None
        if self.left is None:
            self.got += data
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.got[:end].lower()
            statuses[head[9:12].decode(errors="replace")] += 1
            self.closes = b"connection: close" in head
            at = head.find(b"content-length:")
            if at >= 0:
                self.left = int(head[at + 15 :].split(b"\r\n", 1)[0]) - (len(self.got) - end - 4)
            else:
                self.left = -1
            data = self.got[end + 4 :]
            self.got = b""
        elif self.left >= 0:
            self.left -= len(data)
        if self.left < 0:
            self.got = (self.got + data)[-5:]
            whole = self.got == b"0\r\n\r\n"
        else:
            whole = self.left <= 0
        return None if whole and self.closes else whole

    def leave(self):
        if self.socket is not None:
            bots.pop(self.socket.fileno(), None)
            self.socket.close()
        self.socket = None
        self.number += CONNECTIONS


statuses = collections.Counter()
broken = asked = 0
bots = {}
flood = select.epoll()
parent = select.poll()
parent.register(0, select.POLLIN | select.POLLHUP)
idle = collections.deque(Bot(number) for number in range(min(CONNECTIONS, MOST_CONNECTIONS)))
begin = last = time.monotonic()
end = begin + min(SECONDS, MOST_SECONDS)
rate, credit = min(RATE, MOST_RATE), 0.0
while (now := time.monotonic()) < end and not parent.poll(0):
    credit, last = min(credit + (now - last) * rate, rate / 10), now
    while credit >= 1 and idle:
        bot = idle.popleft()
        credit -= 1
        try:
            bot.ask()
            asked += 1
        except OSError:
            broken += 1
            bot.waits = False
            bot.leave()
            idle.append(bot)
    for file, _ in flood.poll(NAP):
        bot = bots.get(file)
        if bot is None:
            continue
        try:
            whole = bot.hear()
        except BlockingIOError:
            continue
        except OSError:
            broken += 1
            whole = None
        if whole is None:
            bot.leave()
        # One that was closed while nothing was asked stands in line already.
        if bot.waits and (whole is None or whole):
            bot.waits = False
            idle.append(bot)
lasted = time.monotonic() - begin
print(json.dumps({"asked": asked, "seconds": lasted, "broken": broken, "statuses": statuses}))
