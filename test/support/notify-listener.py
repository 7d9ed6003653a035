"""Listens as systemd does on a NOTIFY_SOCKET, the first argument, as Node has no such sockets: one line of JSON a message."""

import array
import json
import os
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind(sys.argv[1])
print('listening', flush=True)
while True:
    message, control, _, _ = listener.recvmsg(4096, 1024)
    pid = 0
    for level, kind, data in control:
        if kind == socket.SCM_CREDENTIALS:
            pid = int.from_bytes(data[:4], sys.byteorder)
        elif kind == socket.SCM_RIGHTS:
            # BARRIER=1 comes with a pipe: closing it says that all before it has been read.
            pipes = array.array('i')
            pipes.frombytes(data)
            for pipe in pipes:
                os.close(pipe)
    text = message.decode()
    if text != 'BARRIER=1':
        print(json.dumps({'pid': pid, 'lines': text.split('\n')}), flush=True)
