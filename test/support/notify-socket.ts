import { join } from 'node:path';
import { expect } from 'vitest';
import * as z from 'zod';
import { temporaryFolder } from './files.js';
import { startProcess } from './process.js';

/**
 * Node has no datagram sockets of that family. BARRIER=1 comes with a pipe: closing that tells the sender that all
 * before it has been read.
 */
const LISTENER = `
import array, json, os, socket, sys
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
            pipes = array.array('i')
            pipes.frombytes(data)
            for pipe in pipes:
                os.close(pipe)
    text = message.decode()
    if text != 'BARRIER=1':
        print(json.dumps({'pid': pid, 'lines': text.split('\\n')}), flush=True)
`;

const heardSchema = z.object({ pid: z.int(), lines: z.array(z.string()) });

/** A NOTIFY_SOCKET, and what the real `systemd-notify` tells it. Needs python3. */
export async function listenToNotices() {
  const path = join(temporaryFolder(), 'notify.sock');
  const listener = startProcess('python3', ['-c', LISTENER, path]);
  await listener.line(/^listening$/);
  const heard = () =>
    listener
      .output()
      .split('\n')
      .slice(1)
      .map((line) => heardSchema.parse(JSON.parse(line)));
  const messages = () => heard().map(({ lines }) => lines);
  return {
    path,
    /** Each message's lines, in their order. */
    messages,
    /** The pids that the messages came from. */
    pids: () => [...new Set(heard().map(({ pid }) => pid))],
    /** How many messages there are that have this line. */
    count: (line: string) => messages().filter((lines) => lines.includes(line)).length,
    /** The last status. */
    status: () =>
      messages()
        .flat()
        .findLast((line) => line.startsWith('STATUS=')),
    /** Waits until there are so many messages that have this line. */
    times: (line: string, count: number, timeout = 10_000) =>
      expect
        .poll(() => messages().filter((lines) => lines.includes(line)).length, { timeout, interval: 20 })
        .toBeGreaterThanOrEqual(count),
  };
}
