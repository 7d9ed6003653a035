import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { SupersimError } from '../../../shared/errors.js';
import { revokeFleetKey, revokeSims } from '../../security/keys/revoke.js';
import { recordedSims } from '../../security/keys/sims.js';
import { readInstallation } from '../../security/store/home.js';
import { type CliIo, print, processIo } from '../io.js';
import { openClient } from '../options.js';
import { fileNameOf } from './key-files.js';
import { keysOptions, keysSchema, simsOptions, simsSchema } from './options.js';
import { apiFirst, sidsWithKeys, simNames } from './sims.js';
import { type OpenedKeys, withKeys } from './store.js';

const argsSchema = keysSchema.extend({ ...simsSchema.shape, keyid: z.string().optional() });
type RevokeArgs = z.output<typeof argsSchema>;

export const revokeCommand: CommandModule<object, object> = {
  command: 'revoke [keyid]',
  describe: 'Revoke the keys of SIMs, to which nothing is sent then; or a fleet key that no SIM uses any more',
  builder: (yargs) =>
    yargs
      .positional('keyid', { type: 'string', describe: 'The id of a fleet key, as `keys ls` shows it' })
      .parserConfiguration({ 'parse-positional-numbers': false })
      .options({ ...simsOptions, ...keysOptions })
      .conflicts({ keyid: ['sim', 'file'], file: 'sim' })
      .example('$0 keys revoke --sim gateway-1', 'The gateway was stolen'),
  handler: (argv) => revoke(argv, processIo()),
};

/** `supersim keys revoke`. */
export async function revoke(argv: unknown, io: CliIo): Promise<void> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const { keyid, sim, file } = args;
  if (keyid === undefined && sim.length === 0 && file === undefined) {
    throw new SupersimError('bad-input', 'name a fleet key by its id, or SIMs with --sim or --file');
  }
  await withKeys(args, io, (opened) =>
    keyid === undefined ? revokeOfSims(args, opened, io) : revokeOne(keyid, opened, io),
  );
}

async function revokeOfSims(args: RevokeArgs, opened: OpenedKeys, io: CliIo): Promise<void> {
  const names = await simNames(args, io);
  const { store, keys } = opened;
  const warn = (name: string) =>
    print(
      io.stderr,
      printable(`warning: the API cannot be asked: ${name} is taken for the SIM of that name in ${store.path}`),
    );
  const find = apiFirst(() => openClient({ profile: args.profile }, io), warn);
  const sids = await sidsWithKeys(names, opened, find);
  // A copy may revoke as well: that protects nothing.
  const revoked = store.transaction(() => revokeSims(store, keys, sids));
  const { tag } = readInstallation(store);
  const nameOf = new Map(recordedSims(store).map(({ sid, uniqueName }) => [sid, uniqueName]));
  for (const { id, sid, deviceId, kid } of revoked) {
    await print(
      io.stdout,
      printable(
        `revoked key ${id}: SIM ${nameOf.get(sid) ?? 'without a name'} (${sid}), device ${deviceId}, kid ${kid}`,
      ),
    );
  }
  await print(
    io.stderr,
    'Requests to these SIMs fail from now on. If you still have their devices, delete the files of these keys:',
  );
  for (const kid of new Set(revoked.map((key) => key.kid))) {
    await print(io.stderr, `  sudo rm /etc/supersim-agent/keys/${fileNameOf(kid, tag)} && sudo supersim-agent reload`);
  }
}

async function revokeOne(id: string, { store, keys }: OpenedKeys, io: CliIo): Promise<void> {
  const deviceKey = keys.byId(id);
  if (deviceKey !== undefined) {
    throw new SupersimError('bad-input', `${printable(id)} is the key of a SIM`, {
      remedy: `Revoke all keys of the SIM with --sim ${deviceKey.sid}.`,
    });
  }
  store.transaction(() => revokeFleetKey(store, id));
  await print(io.stdout, `revoked fleet key ${printable(id)}: it is erased from ${printable(store.path)}`);
  await print(io.stderr, 'Delete the files of its keys on the devices, and erase it from the backups.');
  await print(io.stderr, 'Where a device has one of them as `events.key`, name its new key there first.');
}
