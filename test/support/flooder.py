"""Sends datagrams to a UDP port at a rate, reads no reply, and prints how many left: node:dgram always reads.

Usage: flooder.py FROM ADDRESS PORT KIND PER_SECOND SECONDS
"""

import socket
import struct
import sys
import time

SOCKETS = 8
PACE = 0.001
# What was not sent in time is not made up for beyond this: it would be a burst.
MOST_BEHIND = 0.1


def coap_post(number):
    """Non-confirmable POST to /work (RFC 7252, section 3), with the number as its token."""
    return b"\x54\x02" + struct.pack(">HI", number & 0xFFFF, number & 0xFFFFFFFF) + b"\xb4work"


KINDS = {
    "ping": lambda number: b"#%d ping" % number,
    "health": lambda number: b"#%d health" % number,
    "journalled": lambda number: b'{"jsonrpc":"2.0","id":%d,"method":"work"}' % number,
    "unknown": lambda number: b"#%d nothing-has-this-name" % number,
    "coap": coap_post,
    "program": lambda number: b"#%d program" % number,
    "spin": lambda number: b'{"id":%d,"method":"spin","params":{"of":"%s"}}' % (number, b"x" * 400),
    "malformed": lambda number: b"\xff\xfe\x00\x01",
}
EACH = list(KINDS.values())
KINDS["mixed"] = lambda number: EACH[number % len(EACH)](number)


def open_socket(source, address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.connect((address, port))
    return sock


def flood(source, address, port, kind, per_second, seconds):
    write = KINDS[kind]
    sends = [open_socket(source, address, port).send for _ in range(SOCKETS)]
    most_behind = int(MOST_BEHIND * per_second)
    number = sent = skipped = 0
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < seconds:
        due = int(elapsed * per_second) - skipped
        if due - number > most_behind:
            skipped += due - number - most_behind
            due = number + most_behind
        while number < due:
            try:
                sends[number % SOCKETS](write(number))
                sent += 1
            except OSError:
                pass
            number += 1
        time.sleep(PACE)
    return sent


if __name__ == "__main__":
    source, address, port, kind, per_second, seconds = sys.argv[1:]
    print(flood(source, address, int(port), kind, int(per_second), float(seconds)))
