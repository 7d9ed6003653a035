import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { fleetKeys } from '../../security/keys/fleet-keys.js';
import { simsWith } from '../../security/keys/revoke.js';
import { recordedSims } from '../../security/keys/sims.js';
import { type CliIo, print, processIo } from '../io.js';
import { commonOptions, commonSchema } from '../options.js';
import { keysOptions } from './options.js';
import { type OpenedKeys, withKeys } from './store.js';

const argsSchema = commonSchema.extend({ sims: z.boolean().default(false) });

export const lsCommand: CommandModule<object, object> = {
  command: 'ls',
  describe: 'List the fleet keys, or the keys of SIMs; never their secrets',
  builder: (yargs) =>
    yargs.options({
      sims: { type: 'boolean', describe: 'List the keys of SIMs' },
      json: commonOptions.json,
      ...keysOptions,
    }),
  handler: (argv) => listKeys(argv, processIo()),
};

/** `supersim keys ls`. */
export async function listKeys(argv: unknown, io: CliIo): Promise<void> {
  const { sims, json, profile } = checkInput(argsSchema, argv, 'the arguments');
  await withKeys({ profile }, io, async (opened) => {
    const rows = sims ? simRows(opened) : fleetRows(opened);
    if (!json) await print(io.stdout, (sims ? SIM_COLUMNS : FLEET_COLUMNS).map(headOf).join('  '));
    for (const row of rows) {
      await print(io.stdout, printable(json ? JSON.stringify(row) : line(row, sims ? SIM_COLUMNS : FLEET_COLUMNS)));
    }
  });
}

type Row = Readonly<Record<string, unknown>>;
/** The member of a row, and the width of its column. */
type Column = readonly [name: string, width: number];

const FLEET_COLUMNS: readonly Column[] = [
  ['id', 16],
  ['kid', 3],
  ['state', 7],
  ['sims', 6],
  ['created_at', 24],
];
const SIM_COLUMNS: readonly Column[] = [
  ['sid', 34],
  ['unique_name', 20],
  ['id', 16],
  ['device', 20],
  ['kid', 3],
  ['state', 7],
  ['fleet_key', 16],
  ['allow', 5],
];

function fleetRows({ store }: OpenedKeys): Row[] {
  return fleetKeys(store).map(({ id, kid, isCurrent, secret, createdAt }) => {
    const state = isCurrent ? 'current' : secret === undefined ? 'revoked' : 'former';
    return { id, kid, state, sims: simsWith(store, id), created_at: createdAt };
  });
}

function* simRows({ store, keys }: OpenedKeys): Generator<Row, void, undefined> {
  for (const { sid, uniqueName, iccid } of recordedSims(store)) {
    for (const { id, deviceId, kid, state, fleetKey, allow } of keys.ofSim({ sid })) {
      const names = { sid, unique_name: uniqueName ?? null, iccid: iccid ?? null };
      yield { ...names, id, device: deviceId, kid, state, fleet_key: fleetKey ?? null, allow: allow ?? null };
    }
  }
}

const headOf = ([name, width]: Column): string => name.toUpperCase().padEnd(width);

const line = (row: Row, columns: readonly Column[]): string =>
  columns
    .map(([name, width]) => cell(row[name], name).padEnd(width))
    .join('  ')
    .trimEnd();

const cell = (value: unknown, name: string): string => {
  if (Array.isArray(value)) return value.join(' ') || 'nothing';
  if (value !== null) return String(value);
  // A key without a list may call all commands.
  return name === 'allow' ? 'all' : '-';
};
