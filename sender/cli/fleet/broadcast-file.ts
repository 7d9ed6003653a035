import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { milliseconds } from '../../../shared/duration.js';
import { SupersimError } from '../../../shared/errors.js';
import type { IpCommandClient } from '../../api/client.js';
import { readSims } from '../../broadcast/sim-list.js';
import {
  type BroadcastState,
  createBroadcastState,
  discardBroadcastState,
  openBroadcastState,
  type StoredBroadcastCommand,
} from '../../broadcast/store/state.js';
import { checkRequest } from '../../request/request.js';
import { type CliIo, print } from '../io.js';
import { paramsFromArgs } from '../params-from-args.js';
import type { BroadcastArgs } from './broadcast-options.js';

export interface OpenedBroadcast {
  readonly path: string;
  readonly state: BroadcastState;
}

/**
 * Creates the file of a new broadcast with its SIMs, or opens the file of an earlier one.
 *
 * @throws SupersimError `bad-input`, and as the API's client for a Fleet; the signal's reason. A new file is deleted then.
 */
export async function openBroadcast(
  args: BroadcastArgs,
  client: IpCommandClient,
  io: CliIo,
  signal: AbortSignal,
): Promise<OpenedBroadcast> {
  if (args.resume !== undefined) return { path: args.resume, state: await openBroadcastState(args.resume) };
  const command = readCommand(args);
  const sims = simsOf(args, client, io);
  const path = args.state ?? defaultPath(new Date());
  const state = await createBroadcastState(path, command);
  try {
    const duplicates = await state.add(sims(), signal);
    if (duplicates > 0) await print(io.stderr, `skipped ${duplicates} duplicate SIMs`);
    if (state.total === 0) throw badInput('no SIMs: the list is empty');
  } catch (error) {
    state.close();
    discardBroadcastState(path);
    throw error;
  }
  return { path, state };
}

/** @throws SupersimError `bad-input`, `too-large` for a command that cannot be encoded */
function readCommand(args: BroadcastArgs): StoredBroadcastCommand {
  const { name, format, get, port: devicePort, abortAbove } = args;
  if (name === undefined) throw badInput('name the command, such as ping');
  const params = paramsFromArgs(args);
  const deadline =
    args.deadline === undefined ? undefined : Math.ceil((Date.now() + milliseconds(args.deadline)) / 1000);
  const canary = typeof args.canary === 'number' ? { share: args.canary, abortAbove } : undefined;
  checkRequest(name, params, { format, get, devicePort, deadline });
  return { name, params, format, get, devicePort, deadline, canary };
}

function simsOf({ file, fleet }: BroadcastArgs, client: IpCommandClient, io: CliIo): () => AsyncIterable<string> {
  if (fleet !== undefined) return () => sidsOf(client, fleet);
  if (file !== undefined) return () => readSims(inputOf(file, io));
  throw badInput('name the SIMs by --file or --fleet, or resume a broadcast by --resume');
}

const inputOf = (file: string, { stdin }: CliIo): Readable => (file === '-' ? stdin : createReadStream(file));

async function* sidsOf(client: IpCommandClient, fleet: string): AsyncGenerator<string, void, undefined> {
  for await (const { sid } of client.sims(fleet)) yield sid;
}

/** `broadcast-20260301-120000.db`, UTC. */
const defaultPath = (now: Date) =>
  `broadcast-${now
    .toISOString()
    .replace(/[-:]|\..*/g, '')
    .replace('T', '-')}.db`;

const badInput = (message: string) => new SupersimError('bad-input', message);
