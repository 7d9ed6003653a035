import { printable } from '../../../shared/cli.js';
import type { FleetKey } from '../../security/keys/fleet-keys.js';
import type { KeyStore } from '../../security/store/key-store.js';
import { type CliIo, print } from '../io.js';

/** Prints which fleet key is current now, and that its file has to be backed up. */
export async function printCurrent(
  { id, kid }: FleetKey,
  { path }: KeyStore,
  { stdout, stderr }: CliIo,
): Promise<void> {
  await print(stdout, `fleet key ${id}, kid ${kid}`);
  await print(
    stderr,
    `Back up ${printable(path)}: without it no device that has only its keys can be commanded. Who has it can command all.`,
  );
}
