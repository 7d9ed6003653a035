"""Keeps commands on their way from many loopback addresses, each answered before its address sends the next.

Usage: many-peers.py ADDRESS PORT PEERS IN_FLIGHT SECONDS text|coap; prints how many were answered, and how many lost.
"""

import random
import socket
import struct
import sys
import time

FIRST = struct.unpack(">I", socket.inet_aton("127.16.0.1"))[0]
LOST_AFTER = 0.5


def coap_post(number):
    """Confirmable POST to /ping (RFC 7252, section 3)."""
    return b"\x44\x02" + struct.pack(">HI", number & 0xFFFF, number) + b"\xb4ping"


WRITE = {"text": lambda number: b"#%d ping" % number, "coap": coap_post}


def run(address, port, peers, in_flight, seconds, write):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
    sock.bind(("0.0.0.0", 0))
    sock.settimeout(LOST_AFTER)
    to = (address, port)
    # struct in_pktinfo (ip(7)): the source address of what is sent.
    sources = [struct.pack("=i", 0) + struct.pack(">I", FIRST + peer) + b"\0\0\0\0" for peer in range(peers)]
    order = list(range(peers))
    random.shuffle(order)
    number = answered = lost = 0

    def send():
        nonlocal number
        source = sources[order[number % peers]]
        sock.sendmsg([write(number)], [(socket.IPPROTO_IP, socket.IP_PKTINFO, source)], 0, to)
        number += 1

    for _ in range(in_flight):
        send()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sock.recv(2048)
            answered += 1
            send()
        except TimeoutError:
            lost += in_flight
            for _ in range(in_flight):
                send()
    print(answered, lost)


if __name__ == "__main__":
    address, port, peers, in_flight, seconds, kind = sys.argv[1:]
    # IP_PKTINFO has no name in Python's socket module before 3.14.
    socket.IP_PKTINFO = 8
    run(address, int(port), int(peers), int(in_flight), float(seconds), WRITE[kind])
