import type { Stats } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from '../../../../shared/errors.js';
import { defineCheck } from '../../check.js';
import { fault, good, type Judgement, note, warning } from '../../finding.js';
import { formatOwner, type Identity, mayUse } from '../../identity.js';

/** With less than this the journal is as good as full. */
const LEAST_BYTES = 2 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;
const IN_MEMORY = ['tmpfs', 'ramfs'];

interface Seen {
  readonly folder: string;
  /** Of the folder, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode'> | string;
  readonly agent: Identity;
  /** Whether the agent can write it; undefined where that cannot be seen. */
  readonly isWritable: boolean | undefined;
  /** Free for the agent, of the folder's file system or of that which it would be made on. */
  readonly freeBytes: number;
  readonly freeFiles: number;
  /** What journal and outbox may grow to. */
  readonly neededBytes: number;
  readonly mount: Mount | undefined;
  /** Of the agent that runs: whether what it remembers lies on the disk. */
  readonly isPersistent: boolean | undefined;
}

interface Mount {
  readonly folder: string;
  readonly type: string;
  readonly isReadOnly: boolean;
}

/** Whether the state folder can be written, and has room. */
export const disk = defineCheck<Seen>({
  name: 'disk',
  async look(context) {
    const { stateFolder: folder, config } = context;
    const status = await stat(folder).catch((error: unknown) => systemCodeOf(error) ?? 'unknown');
    const there = await nearest(folder);
    const { bavail, bsize, ffree, files } = await statfs(there);
    const agent = await context.agent();
    const running = await context.status();
    return {
      folder,
      status,
      agent,
      isWritable: typeof status === 'string' ? undefined : await mayUse(folder, agent, 'write'),
      freeBytes: bavail * bsize,
      // Where there is no number of them.
      freeFiles: files === 0 ? Number.POSITIVE_INFINITY : ffree,
      neededBytes: config.journal.bytes + config.outbox.bytes,
      mount: mountOf(await readFile('/proc/self/mounts', 'utf8').catch(() => ''), there),
      isPersistent: running instanceof Error ? undefined : running.journal?.persistent,
    };
  },
  judge: judgeDisk,
});

/** The folder, or the first above it that can be looked at. */
async function nearest(folder: string): Promise<string> {
  const found = await stat(folder).then(
    () => true,
    () => false,
  );
  return found || folder === dirname(folder) ? folder : nearest(dirname(folder));
}

/** The mount that a folder is on, from `/proc/self/mounts`: `device folder type options 0 0`. */
export function mountOf(mounts: string, folder: string): Mount | undefined {
  const all = mounts.split('\n').flatMap((line): Mount[] => {
    const [, at = '', type = '', options = ''] = line.split(' ');
    // proc_pid_mounts(5): blanks are written as octal numbers.
    const plain = at.replaceAll(/\\(\d{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8)));
    return at === '' ? [] : [{ folder: plain, type, isReadOnly: options.split(',').includes('ro') }];
  });
  const above = all.filter(({ folder: at }) => at === '/' || folder === at || folder.startsWith(`${at}/`));
  // The longest, and of those the last, which hides the others.
  return above.reduce<Mount | undefined>(
    (best, one) => (best === undefined || one.folder.length >= best.folder.length ? one : best),
    undefined,
  );
}

export function judgeDisk(seen: Seen): Judgement[] {
  const { folder, status, freeBytes, mount } = seen;
  const owner = typeof status === 'string' ? '' : ` (${formatOwner(status)})`;
  const looked = `state folder ${folder}${owner}`;
  const judgements = [...judgeWritable(looked, seen), ...judgeRoom(looked, seen)];
  if (mount !== undefined && IN_MEMORY.includes(mount.type)) {
    const remedy = 'Name a folder on a disk that stays in `state.folder`.';
    judgements.push(warning(looked, `it lies in memory (${mount.type}): a reboot forgets it`, remedy));
  }
  if (seen.isPersistent === false) {
    const remedy = 'Make the folder writable as above, and restart the agent.';
    judgements.push(
      fault(looked, 'the agent that runs could not use it, and remembers commands in memory only', remedy),
    );
  }
  if (judgements.length > 0) return judgements;
  if (status === 'ENOENT') return [note(looked, 'it is not there yet; the agent makes it, where it may')];
  return [good(looked, `writable, ${megabytes(freeBytes)} free`)];
}

function judgeWritable(looked: string, { folder, status, agent, isWritable, mount }: Seen): Judgement[] {
  if (mount?.isReadOnly) {
    const remedy = `Run \`sudo mount -o remount,rw ${mount.folder}\`; if that fails, \`sudo dmesg\` tells why: mostly a failing SD card.`;
    return [fault(looked, `its file system ${mount.folder} is read-only`, remedy)];
  }
  if (status === 'EACCES') return [note(looked, 'this user may not look at it', 'Run it with sudo.')];
  if (typeof status !== 'string' && isWritable === false) {
    const remedy = `Run \`sudo chown -R ${agent.name}: ${folder} && sudo chmod 700 ${folder}\`.`;
    return [fault(looked, `the agent’s user ${agent.name} cannot write it: nothing outlives a restart`, remedy)];
  }
  return [];
}

function judgeRoom(looked: string, { freeBytes, freeFiles, neededBytes }: Seen): Judgement[] {
  const remedy =
    'Free some: `sudo journalctl --vacuum-size=50M`, `sudo apt clean`; `df -h` and `df -i` show what is left.';
  if (freeBytes < LEAST_BYTES || freeFiles < 1) {
    const what = freeFiles < 1 ? 'no file can be made' : `${megabytes(freeBytes)} are free`;
    return [fault(looked, `the disk is full (${what}): commands that need the journal are refused as busy`, remedy)];
  }
  if (freeBytes >= neededBytes) return [];
  const found = `${megabytes(freeBytes)} are free, and journal and outbox may grow to ${megabytes(neededBytes)}`;
  return [warning(looked, found, remedy)];
}

const megabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(bytes < 10 * MEGABYTE ? 1 : 0)} MiB`;
