import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SupersimError } from '../../../shared/errors.js';

const FILES = ['/etc/machine-id', '/var/lib/dbus/machine-id'];
const MACHINE_ID = /^[0-9a-f]{32}$/;
const DIGEST_DIGITS = 32;

/**
 * Identifies this machine: by a digest, as machine-id(5) asks not to show the id itself.
 *
 * @param env SUPERSIM_MACHINE_ID replaces the machine's own id, for containers and systems without one
 * @throws SupersimError `keys-unusable` when the machine has no id
 */
export function identifyMachine(env: NodeJS.ProcessEnv, files: readonly string[] = FILES): string {
  const id = env['SUPERSIM_MACHINE_ID'] || files.map(readId).find((each) => each !== undefined);
  if (id !== undefined) {
    return createHash('sha256').update(`supersim ${id}`).digest('hex').slice(0, DIGEST_DIGITS);
  }
  throw new SupersimError('keys-unusable', 'this machine has no id to which the keys could be bound', {
    remedy:
      'Write /etc/machine-id with `systemd-machine-id-setup`, or set SUPERSIM_MACHINE_ID to a value of this installation alone.',
  });
}

function readId(path: string): string | undefined {
  try {
    const id = readFileSync(path, 'utf8').trim();
    return MACHINE_ID.test(id) && !/^0+$/.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
