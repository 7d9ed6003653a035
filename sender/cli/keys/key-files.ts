import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import { createPrivateText } from '../../base/new-file.js';
import type { NamedSim } from './sims.js';

/** Longest key file, in bytes: far above what `keys device` writes. */
const MAX_KEY_FILE_BYTES = 16_384;
/** Every permission bit of users other than the owner. */
const FOR_OTHERS = 0o077;

/** Names that mean the same on all systems, and nothing but a file. */
const PLAIN_NAME = /^\w[\w.-]{0,99}$/;
/** What needs no quotes in a shell. */
const PLAIN_WORD = /^[\w./:@%+=,-]+$/;

/**
 * Writes a device's key file, which only its owner can read. One that is there is never overwritten; it may be the same.
 *
 * @throws SupersimError `bad-input`
 */
export function writeKeyFile(path: string, text: string): void {
  try {
    createPrivateText(path, text);
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') refuseOther(path, text);
    else throw notWritable(path, error);
  }
}

function refuseOther(path: string, text: string): void {
  const { same, mode } = compare(path, text);
  if (!same) {
    throw new SupersimError('bad-input', `${path} exists, with another content; it was not overwritten`, {
      remedy: 'Delete it when it is no longer needed, or name another file.',
    });
  }
  if ((mode & FOR_OTHERS) === 0) return;
  throw new SupersimError('bad-input', `${path} exists, and others can use it`, { remedy: `Run: chmod 600 ${path}` });
}

function compare(path: string, text: string): { same: boolean; mode: number } {
  try {
    const { size, mode } = statSync(path);
    return { same: size <= MAX_KEY_FILE_BYTES && readFileSync(path, 'utf8') === text, mode };
  } catch (error) {
    throw notWritable(path, error);
  }
}

const notWritable = (path: string, cause: unknown) =>
  new SupersimError('bad-input', `${path} cannot be written: ${messageOf(cause)}`, { cause });

/** Creates the folder for key files. @throws SupersimError `bad-input` */
export function makeKeyFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw notWritable(folder, error);
  }
}

/** Returns the path of a SIM's key file: of its name, or of its SID where the name could mean another file. */
export const keyFileOf = (folder: string, { name, sim }: NamedSim): string =>
  join(folder, `${PLAIN_NAME.test(name) ? name : sim.sid}.json`);

/** Returns the command that installs a key file on the device. */
export function installCommand(file: string, kid: number, tag: string): string {
  const target = `/etc/supersim-agent/keys/${fileNameOf(kid, tag)}`;
  return `sudo install -o root -g supersim-agent -m 640 ${shellWord(file)} ${target} && sudo supersim-agent reload`;
}

/** Returns the name of an installation's key file on a device: others have another tag, or another kid. */
export const fileNameOf = (kid: number, tag: string): string => `operator-${kid}-${tag.slice(0, 4)}.json`;

/** Quotes a word for a shell, where it needs that. */
export const shellWord = (text: string): string =>
  PLAIN_WORD.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
