import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { isSupersimError, messageOf, SupersimError } from '../../../shared/errors.js';
import { isForbidden } from '../../api/api-error.js';
import { mapConcurrently } from '../../broadcast/map-concurrently.js';
import { useKey } from '../../security/keys/device-keys.js';
import { addFleetKey, currentFleetKey, newFleetSecret } from '../../security/keys/fleet-keys.js';
import { isIssued } from '../../security/keys/known-keys.js';
import { recordedSims } from '../../security/keys/sims.js';
import { EXIT, EXIT_BY_OUTCOME } from '../exit.js';
import { type CliIo, print } from '../io.js';
import { openClient } from '../options.js';
import { printCurrent } from './fleet-key.js';
import { keysSchema, kidArgs, simsSchema } from './options.js';
import { recordedFirst, sidsWithKeys, simNames } from './sims.js';
import { type OpenedKeys, withKeys } from './store.js';
import type { TryKey } from './try-key.js';

/** Most devices that are asked at once. */
const MAX_TRIES = 64;

const argsSchema = keysSchema.extend({
  ...kidArgs.shape,
  ...simsSchema.shape,
  all: z.boolean().default(false),
  json: z.boolean().default(false),
});
type RotateArgs = z.output<typeof argsSchema>;

/**
 * `supersim keys rotate`: without SIMs, makes another fleet key; with SIMs, has them use the keys that were made for them.
 *
 * @returns the exit code
 */
export async function rotate(argv: unknown, io: CliIo, tryKey: TryKey, signal: AbortSignal): Promise<number> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const givesSims = args.all || args.file !== undefined || args.sim.length > 0;
  if (givesSims && args.kid !== undefined) throw badInput('--kid is for a new fleet key, not for SIMs');
  if (givesSims) return switchSims(args, io, tryKey, signal);
  await replaceFleetKey(args, io);
  return EXIT.ok;
}

async function replaceFleetKey({ kid, profile }: RotateArgs, io: CliIo): Promise<void> {
  await withKeys({ profile }, io, async ({ store, change }) => {
    const key = change(() => {
      if (currentFleetKey(store) !== undefined) return addFleetKey(store, newFleetSecret(), kid);
      throw new SupersimError('bad-input', 'there is no fleet key to be replaced', {
        remedy: '`supersim keys new` makes one.',
      });
    });
    await printCurrent(key, store, io);
    await print(io.stderr, NEXT);
  });
}

const NEXT = `Nothing changes for the SIMs yet. For each of them:
1. make the new key file:      supersim keys device --sim NAME --out FILE
2. install it on the device, beside the old one
3. have requests use it:       supersim keys rotate --sim NAME
4. delete the old file on the device; if it is its events.key, name the new one there first
Afterwards revoke the old fleet key: supersim keys revoke KEYID`;

/** What has become of a SIM. */
interface Switched {
  readonly sim: string;
  readonly switched: boolean;
  /** The id of the new key, where there is one. */
  readonly key: string | undefined;
  readonly message: string;
}

async function switchSims(args: RotateArgs, io: CliIo, tryKey: TryKey, signal: AbortSignal): Promise<number> {
  return withKeys(args, io, async (opened) => {
    const sims = await simsOf(args, opened, io);
    const stop = new AbortController();
    const results = mapConcurrently({
      source: sims.values(),
      maxConcurrent: MAX_TRIES,
      mayStart: () => !signal.aborted,
      mapper: (sim) => switchSim(sim, opened, tryKey),
      stop,
    });
    const nameOf = new Map(recordedSims(opened.store).map(({ sid, uniqueName }) => [sid, uniqueName]));
    let switched = 0;
    for await (const result of results) {
      if (result.switched) switched++;
      await print(
        io.stdout,
        args.json
          ? printable(JSON.stringify(result))
          : printable(`${nameOf.get(result.sim) ?? result.sim}: ${result.message}`),
      );
    }
    await print(io.stderr, `${switched} of ${sims.length} SIMs use their new key`);
    if (signal.aborted) return EXIT.interrupted;
    return switched === sims.length ? EXIT.ok : EXIT_BY_OUTCOME.failed;
  });
}

async function simsOf(args: RotateArgs, opened: OpenedKeys, io: CliIo): Promise<string[]> {
  if (!args.all) {
    const find = recordedFirst(() => openClient({ profile: args.profile }, io));
    return sidsWithKeys(await simNames(args, io), opened, find);
  }
  const { store, keys } = opened;
  return recordedSims(store)
    .map(({ sid }) => sid)
    .filter((sid) => keys.ofSim({ sid }).some(isIssued));
}

async function switchSim(sim: string, { store, keys, change }: OpenedKeys, tryKey: TryKey): Promise<Switched> {
  const key = keys.ofSim({ sid: sim }).findLast(isIssued);
  if (key === undefined) {
    return { sim, switched: false, key, message: 'has no new key: make one with `supersim keys device`' };
  }
  const result = (switched: boolean, message: string): Switched => ({ sim, switched, key: key.id, message });
  try {
    if (!(await tryKey(sim, key))) return result(false, `the device does not answer with the key ${key.id}`);
    change(() => useKey(store, key.id));
    return result(true, `uses the key ${key.id}`);
  } catch (error) {
    if (!isSupersimError(error) || concernsAll(error)) throw error;
    return result(false, messageOf(error));
  }
}

/** Whether the next SIMs would fail in the same way. */
const concernsAll = (error: SupersimError): boolean =>
  isForbidden(error) || isSupersimError(error, 'keys-unusable') || isSupersimError(error, 'keys-copied');

const badInput = (message: string) => new SupersimError('bad-input', message);
