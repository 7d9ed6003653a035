import type { Stats } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import { MIN_FREE_BYTES } from '../../../storage/files.js';
import { defineCheck } from '../../check.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { canAccess, formatOwner, type Identity } from '../../identity.js';

const MEGABYTE = 1024 * 1024;
/** What an identity takes in the database, with its share of the row and the page. */
const IDENTITY_BYTES = 44;
/** To which the write-ahead log grows, and is truncated. */
const LOG_BYTES = 4 * MEGABYTE;
const IN_MEMORY = ['tmpfs', 'ramfs'];

const REFUSED = 'commands that need the journal are refused as busy';

interface Observation {
  readonly folder: string;
  /** Of the folder, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode'> | string;
  readonly agent: Identity;
  /** Whether the agent can write it; undefined where this user cannot tell. */
  readonly isWritable: boolean | undefined;
  /** Free for the agent on the folder's file system, or on the one where the folder would be created. */
  readonly freeBytes: number;
  readonly freeFiles: number;
  /** What journal and outbox can take within their configured limits. */
  readonly neededBytes: number;
  readonly mount: Mount | undefined;
  /** Whether the running agent's journal is on the disk. */
  readonly isPersistent: boolean | undefined;
}

interface Mount {
  readonly folder: string;
  readonly type: string;
  readonly isReadOnly: boolean;
}

/** Checks whether the state folder is writable and has enough space. */
export const disk = defineCheck<Observation | undefined>({
  name: 'disk',
  async look(context) {
    const { stateFolder: folder, config } = context;
    if (folder === undefined) return undefined;
    const status = await stat(folder).catch((error: unknown) => systemCodeOf(error) ?? 'unknown');
    const there = await nearestExisting(folder);
    const { bavail, bsize, ffree, files } = await statfs(there);
    const agent = await context.agent();
    const running = await context.status();
    return {
      folder,
      status,
      agent,
      isWritable: typeof status === 'string' ? undefined : await canAccess(folder, agent, 'write'),
      freeBytes: bavail * bsize,
      // Some file systems, such as btrfs, report no number of inodes.
      freeFiles: files === 0 ? Number.POSITIVE_INFINITY : ffree,
      neededBytes: neededBytesOf(config),
      mount: mountOf(await readFile('/proc/self/mounts', 'utf8').catch(() => ''), there),
      isPersistent: running instanceof Error ? undefined : running.journal?.persistent,
    };
  },
  judge: judgeDisk,
});

export const neededBytesOf = ({ journal, outbox }: Pick<Config, 'journal' | 'outbox'>): number =>
  journal.bytes + journal.identities * IDENTITY_BYTES + outbox.bytes + LOG_BYTES;

/** Returns the folder, or the nearest existing one above it. */
async function nearestExisting(folder: string): Promise<string> {
  const found = await stat(folder).then(
    () => true,
    () => false,
  );
  return found || folder === dirname(folder) ? folder : nearestExisting(dirname(folder));
}

/** Finds the mount of a folder in `/proc/self/mounts`: lines of `device folder type options 0 0`. */
export function mountOf(mounts: string, folder: string): Mount | undefined {
  const all = mounts.split('\n').flatMap((line): Mount[] => {
    const [, at = '', type = '', options = ''] = line.split(' ');
    // proc_pid_mounts(5): spaces are octal escapes.
    const plain = at.replaceAll(/\\(\d{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8)));
    return at === '' ? [] : [{ folder: plain, type, isReadOnly: options.split(',').includes('ro') }];
  });
  const above = all.filter(({ folder: at }) => at === '/' || folder === at || folder.startsWith(`${at}/`));
  // The longest path counts, and of equal ones the last, which hides the others.
  return above.reduce<Mount | undefined>(
    (best, one) => (best === undefined || one.folder.length >= best.folder.length ? one : best),
    undefined,
  );
}

/** @param observed undefined where the configuration names no folder */
export function judgeDisk(observed: Observation | undefined): Judgement[] {
  if (observed === undefined) {
    const found = 'none, as configured: journal and outbox are in memory only, and lost when the agent ends';
    return [note('state folder', found, 'Set `state.folder` to a folder if commands must not run twice.')];
  }
  const { folder, status, freeBytes, mount } = observed;
  const owner = typeof status === 'string' ? '' : ` (${formatOwner(status)})`;
  const looked = `state folder ${folder}${owner}`;
  const judgements = [...judgeWritable(looked, observed), ...judgeSpace(looked, observed)];
  if (mount !== undefined && IN_MEMORY.includes(mount.type)) {
    const remedy = 'Set `state.folder` to a folder on a persistent disk.';
    judgements.push(warning(looked, `in memory (${mount.type}): lost at a reboot`, remedy));
  }
  if (observed.isPersistent === false) {
    const remedy = 'It was started with another configuration: `sudo systemctl restart supersim-agent`.';
    judgements.push(failure(looked, 'the running agent does not use it: its journal is in memory only', remedy));
  }
  if (judgements.length > 0) return judgements;
  if (status === 'ENOENT') return [note(looked, 'does not exist yet: the agent creates it when it starts')];
  return [good(looked, `writable, ${megabytes(freeBytes)} free`)];
}

function judgeWritable(looked: string, { folder, status, agent, isWritable, mount }: Observation): Judgement[] {
  if (mount?.isReadOnly) {
    const remedy = `Run \`sudo mount -o remount,rw ${mount.folder}\`; if that fails, \`sudo dmesg\` shows why: often a failing SD card.`;
    return [failure(looked, `its file system ${mount.folder} is read-only: ${REFUSED}`, remedy)];
  }
  if (status === 'EACCES') return [note(looked, 'this user may not see it', 'Run it with sudo.')];
  if (typeof status !== 'string' && isWritable === false) {
    const remedy = `Run \`sudo chown -R ${agent.name}: ${folder} && sudo chmod 700 ${folder}\`.`;
    return [failure(looked, `the agent’s user ${agent.name} cannot write it: ${REFUSED}`, remedy)];
  }
  return [];
}

function judgeSpace(looked: string, { freeBytes, freeFiles, neededBytes }: Observation): Judgement[] {
  const remedy =
    'Free space: `sudo journalctl --vacuum-size=50M`, `sudo apt clean`; `df -h` and `df -i` show what is free.';
  if (freeBytes < MIN_FREE_BYTES || freeFiles < 1) {
    const what = freeFiles < 1 ? 'no free inodes' : `${megabytes(freeBytes)} free`;
    return [failure(looked, `the disk is full (${what}): ${REFUSED}`, remedy)];
  }
  if (freeBytes >= neededBytes) return [];
  const found = `${megabytes(freeBytes)} free, but journal and outbox may grow to ${megabytes(neededBytes)}`;
  return [warning(looked, found, remedy)];
}

const megabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(bytes < 10 * MEGABYTE ? 1 : 0)} MiB`;
