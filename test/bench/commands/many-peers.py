"""Keeps commands on their way from many loopback addresses, each answered before its address sends the next.

Usage: many-peers.py ADDRESS PORT IN_FLIGHT; reads jobs, a line each, `PEERS COMMANDS text|coap`, and prints for each how
many were answered. A job ends early with an error, or when nothing comes for a while. As many peers as in an earlier job
are the same ones, with the same port.
"""

import random
import socket
import struct
import sys

FIRST = struct.unpack(">I", socket.inet_aton("127.16.0.1"))[0]
GIVE_UP_AFTER = 5
MESSAGE_IDS = 65_536
# IP_PKTINFO has no name in Python's socket module before 3.14.
IP_PKTINFO = 8


def coap_post(number):
    """Confirmable POST to /ping (RFC 7252, section 3)."""
    return b"\x44\x02" + struct.pack(">HI", number & 0xFFFF, number) + b"\xb4ping"


WRITE = {"text": lambda number: b"#%d ping" % number, "coap": coap_post}
IS_ERROR = {"text": lambda reply: b"error" in reply, "coap": lambda reply: reply[1] >= 0x80}


class Peers:
    """So many addresses, and one port."""

    def __init__(self, count):
        self.sent = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.settimeout(GIVE_UP_AFTER)
        # struct in_pktinfo (ip(7)): the source address of what is sent.
        self.sources = [struct.pack("=i", 0) + struct.pack(">I", FIRST + peer) + b"\0\0\0\0" for peer in range(count)]
        random.shuffle(self.sources)

    def send(self, to, write):
        source = self.sources[self.sent % len(self.sources)]
        self.socket.sendmsg([write(self.sent)], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, to)
        self.sent += 1

    def has_message_ids_for(self, commands):
        return self.sent + commands <= MESSAGE_IDS * len(self.sources)


def run(peers, to, in_flight, commands, kind):
    write, is_error = WRITE[kind], IS_ERROR[kind]
    end = peers.sent + commands
    for _ in range(min(in_flight, commands)):
        peers.send(to, write)
    for answered in range(commands):
        try:
            reply = peers.socket.recv(2048)
        except TimeoutError:
            return answered
        if is_error(reply):
            return answered
        if peers.sent < end:
            peers.send(to, write)
    return commands


def main():
    address, port, in_flight = sys.argv[1:]
    known = {}
    for line in sys.stdin:
        count, commands, kind = line.split()
        peers = known.get(count)
        if peers is None or not peers.has_message_ids_for(int(commands)):
            peers = known[count] = Peers(int(count))
        print(run(peers, (address, int(port)), int(in_flight), int(commands), kind), flush=True)


if __name__ == "__main__":
    main()
