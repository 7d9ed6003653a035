import { readFileSync, type Stats } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from '../../shared/errors.js';
import { runProgram } from './run-program.js';

/** A user and its groups, whose permissions are checked. */
export interface Identity {
  /** User name, or the numeric ID without one. */
  readonly name: string;
  readonly uid: number;
  readonly groups: readonly number[];
}

const ACCESS_BITS = { read: 4, write: 2, run: 1 } as const;
export type Access = keyof typeof ACCESS_BITS;

/** Returns whether the mode bits permit an access. Ignores access control lists. */
export function modePermits(
  { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>,
  who: Identity,
  access: Access,
): boolean {
  const bit = ACCESS_BITS[access];
  if (who.uid === 0) return access !== 'run' || (mode & 0o111) !== 0;
  const shift = uid === who.uid ? 6 : who.groups.includes(gid) ? 3 : 0;
  return ((mode >> shift) & bit) !== 0;
}

/**
 * Returns whether somebody may access a file and enter all folders above it.
 *
 * @returns undefined where this user cannot tell
 * @throws (rejects) the file system's error where the file does not exist
 */
export async function canAccess(path: string, who: Identity, access: Access): Promise<boolean | undefined> {
  try {
    const real = await realpath(path);
    for (let folder = dirname(real); ; folder = dirname(folder)) {
      if (!modePermits(await stat(folder), who, 'run')) return false;
      if (folder === dirname(folder)) break;
    }
    return modePermits(await stat(real), who, access);
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

/** Returns the identity of this process. */
export function ownIdentity(): Identity {
  const uid = process.geteuid?.() ?? 0;
  return { name: userName(uid), uid, groups: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] };
}

/** Returns the identity of a process; undefined when it does not exist. */
export async function identityOf(pid: number): Promise<Identity | undefined> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const numbers = (name: string) =>
    (new RegExp(`^${name}:(.*)$`, 'm').exec(text)?.[1] ?? '').trim().split(/\s+/).filter(Boolean).map(Number);
  const [, uid] = numbers('Uid');
  const [, gid] = numbers('Gid');
  if (uid === undefined || gid === undefined) return undefined;
  return { name: userName(uid), uid, groups: [gid, ...numbers('Groups')] };
}

/** Finds a user by name and adds supplementary groups; undefined when the user does not exist. */
export async function findUser(user: string, groupNames: readonly string[]): Promise<Identity | undefined> {
  const [uid, groups] = await Promise.all([runProgram('id', ['-u', '--', user]), runProgram('id', ['-G', '--', user])]);
  if (uid.failed !== undefined || groups.failed !== undefined) return undefined;
  const supplementary = groupNames.map((group) => idOf('/etc/group', group)).filter((id) => id !== undefined);
  return {
    name: user,
    uid: Number(uid.stdout),
    groups: [...groups.stdout.trim().split(' ').map(Number), ...supplementary],
  };
}

export const userName = (uid: number): string => nameOf('/etc/passwd', uid);
export const groupName = (gid: number): string => nameOf('/etc/group', gid);

/** Formats as `root:adm, mode 640`. */
export const formatOwner = ({ uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>): string =>
  `${userName(uid)}:${groupName(gid)}, mode ${(mode & 0o7777).toString(8)}`;

function nameOf(file: string, id: number): string {
  return entries(file).find(([, , entry]) => Number(entry) === id)?.[0] ?? String(id);
}

function idOf(file: string, name: string): number | undefined {
  const id = entries(file).find(([entry]) => entry === name)?.[2];
  return id === undefined ? undefined : Number(id);
}

function entries(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter((fields) => fields.length > 2);
  } catch {
    return [];
  }
}
