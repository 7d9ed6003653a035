import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './files.js';
import { PYTHON } from './needs.js';
import { WAIT_MS } from './wait.js';

/**
 * Program that holds a pseudo-terminal with a link to its slave device: it writes its stdin to the device, and what
 * others write to the device to its stdout. Mode `deaf` reads nothing, `exclusive` refuses other opens (TIOCEXCL), and
 * `locked` holds an flock().
 */
const HOLDER = `
import fcntl, os, select, sys, termios, tty
link, mode = sys.argv[1:3]
near, far = os.openpty()
tty.setraw(far)
if mode == 'locked': fcntl.flock(far, fcntl.LOCK_EX)
if mode == 'exclusive': fcntl.ioctl(far, termios.TIOCEXCL)
os.symlink(os.ttyname(far), link + '.new')
os.rename(link + '.new', link)
sys.stderr.write(os.ttyname(far) + '\\n')
sys.stderr.flush()
while True:
    ready, _, _ = select.select([0] if mode == 'deaf' else [0, near], [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if not data: break
        while data: data = data[os.write(near, data):]
    if near in ready:
        os.write(1, os.read(near, 65536))
`;

export interface Pty {
  readonly pid: number;
  /** Path of the slave device. */
  readonly device: string;
  /** Everything that was written to the device so far. */
  received(): Buffer;
  /** Waits until that many bytes were written to the device; a time-out shows what arrived. */
  receive(count: number): Promise<Buffer>;
  send(bytes: Uint8Array | string): void;
  /** Removes the link and the device, as the kernel and udev do when a modem is unplugged. */
  vanish(): Promise<void>;
}

/** A path for a link to a pseudo-terminal, which stays the same as one of /dev/serial/by-id does. */
export const linkPath = (): string => join(temporaryFolder(), 'usb-modem-if02-port0');

/** Opens a pseudo-terminal that `link` leads to, until the test has finished. */
export async function openPty(link: string, mode: 'plain' | 'deaf' | 'exclusive' | 'locked' = 'plain'): Promise<Pty> {
  const child = spawn(PYTHON, ['-c', HOLDER, link, mode], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined);
  onTestFinished(() => kill(child));
  const chunks: Buffer[] = [];
  let arrived: () => void = () => undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    arrived();
  });
  const [name] = await once(child.stderr, 'data', { signal: AbortSignal.timeout(WAIT_MS) });
  const device = String(name).trim();
  const received = () => Buffer.concat(chunks);
  const vanish = async () => {
    // First the link: the number of a device that is gone may be another program's terminal at once.
    if (linkedTo(link) === device) unlinkSync(link);
    await kill(child);
  };
  onTestFinished(vanish);
  return {
    pid: child.pid ?? 0,
    device,
    received,
    receive: (count) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${count} bytes did not arrive in ${WAIT_MS} ms; instead: ${shown(received())}`)),
          WAIT_MS,
        );
        arrived = () => {
          if (received().length < count) return;
          clearTimeout(timer);
          resolve(received());
        };
        arrived();
      }),
    send: (bytes) => void child.stdin.write(bytes),
    vanish,
  };
}

const shown = (bytes: Buffer) => `${bytes.length} bytes ${JSON.stringify(bytes.toString('latin1').slice(-500))}`;

function linkedTo(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
