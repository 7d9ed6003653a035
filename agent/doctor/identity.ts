import { readFileSync, type Stats } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from '../../shared/errors.js';
import { runProgram } from './run-program.js';

/** Whose rights count. */
export interface Identity {
  /** Name of the user, or its number. */
  readonly name: string;
  readonly uid: number;
  readonly groups: readonly number[];
}

/** What is asked of a file, as its permission bit. */
export const WANT = { read: 4, write: 2, run: 1 } as const;
export type Want = keyof typeof WANT;

/** Whether permissions let somebody do something. Access lists beyond them are not looked at. */
export function may({ uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>, who: Identity, want: Want): boolean {
  const bit = WANT[want];
  if (who.uid === 0) return want !== 'run' || (mode & 0o111) !== 0;
  const shift = uid === who.uid ? 6 : who.groups.includes(gid) ? 3 : 0;
  return ((mode >> shift) & bit) !== 0;
}

/**
 * Whether somebody may do something with a file, and may get to it through the folders above.
 *
 * @returns undefined where this user cannot see that
 * @throws the file system's error, where the file is not there
 */
export async function mayUse(path: string, who: Identity, want: Want): Promise<boolean | undefined> {
  try {
    const real = await realpath(path);
    for (let folder = dirname(real); ; folder = dirname(folder)) {
      if (!may(await stat(folder), who, 'run')) return false;
      if (folder === dirname(folder)) break;
    }
    return may(await stat(real), who, want);
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

/** Who this process is. */
export function ownIdentity(): Identity {
  const uid = process.geteuid?.() ?? 0;
  return { name: userName(uid), uid, groups: [process.getegid?.() ?? 0, ...(process.getgroups?.() ?? [])] };
}

/** Who another process is; undefined when it is not there. */
export async function identityOf(pid: number): Promise<Identity | undefined> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const numbers = (name: string) =>
    (new RegExp(`^${name}:(.*)$`, 'm').exec(text)?.[1] ?? '').trim().split(/\s+/).filter(Boolean).map(Number);
  const [, uid] = numbers('Uid');
  const [, gid] = numbers('Gid');
  if (uid === undefined || gid === undefined) return undefined;
  return { name: userName(uid), uid, groups: [gid, ...numbers('Groups')] };
}

/** A user by name, with groups besides its own; undefined when there is none. */
export async function lookUp(user: string, more: readonly string[]): Promise<Identity | undefined> {
  const [uid, groups] = await Promise.all([runProgram('id', ['-u', '--', user]), runProgram('id', ['-G', '--', user])]);
  if (uid.failed !== undefined || groups.failed !== undefined) return undefined;
  const supplementary = more.map((group) => idOf('/etc/group', group)).filter((id) => id !== undefined);
  return {
    name: user,
    uid: Number(uid.stdout),
    groups: [...groups.stdout.trim().split(' ').map(Number), ...supplementary],
  };
}

export const userName = (uid: number): string => nameOf('/etc/passwd', uid);
export const groupName = (gid: number): string => nameOf('/etc/group', gid);

/** `root:adm, mode 640`. */
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
