import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { milliseconds } from '../../../shared/duration.js';
import { SupersimError } from '../../../shared/errors.js';
import type { IpCommandClient } from '../../api/client.js';
import { readFleet, readSims } from '../../broadcast/sim-list.js';
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
 * Creates the file of a new broadcast with its SIMs, or opens the file of an earlier one. Of a Fleet there are some SIMs
 * then, and the others are read meanwhile.
 *
 * @param signal ends the reading
 * @throws SupersimError `bad-input`, and as the API's client for a Fleet; the signal's reason. A new file is deleted then.
 */
export async function openBroadcast(
  args: BroadcastArgs,
  client: IpCommandClient,
  io: CliIo,
  signal: AbortSignal,
): Promise<OpenedBroadcast> {
  if (args.resume !== undefined) return resumeBroadcast(args.resume, client, signal);
  const command = readCommand(args);
  const sims = simsOf(args, client, io, signal);
  const path = args.state ?? defaultPath(new Date());
  const state = await createBroadcastState(path, command);
  try {
    const reading = state.add(sims(), signal).then((duplicates) => reportDuplicates(duplicates, io));
    if (command.fleet === undefined) await reading;
    else await firstOf(state, reading);
    if (state.total === 0) throw badInput('no SIMs: the list is empty');
  } catch (error) {
    state.close();
    discardBroadcastState(path);
    throw error;
  }
  return { path, state };
}

async function resumeBroadcast(path: string, client: IpCommandClient, signal: AbortSignal): Promise<OpenedBroadcast> {
  const state = await openBroadcastState(path);
  const { fleet } = state.command;
  try {
    if (!state.isWhole && fleet !== undefined)
      await firstOf(state, state.add(readFleet(client, fleet, signal), signal));
    if (state.total === 0) throw badInput(`no SIMs: the Fleet ${fleet} is empty`);
  } catch (error) {
    state.close();
    throw error;
  }
  return { path, state };
}

/** Waits for the first SIMs; when the reading of the others fails, `grown` says it. */
async function firstOf(state: BroadcastState, reading: Promise<unknown>): Promise<void> {
  reading.catch(() => undefined);
  await state.grown(0);
}

async function reportDuplicates(duplicates: number, { stderr }: CliIo): Promise<void> {
  if (duplicates > 0) await print(stderr, `skipped ${duplicates} duplicate SIMs`);
}

/** @throws SupersimError `bad-input`, `too-large` for a command that cannot be encoded */
function readCommand(args: BroadcastArgs): StoredBroadcastCommand {
  const { name, format, get, port: devicePort, abortAbove } = args;
  // How many SIMs a canary has can be told only when all are there.
  const fleet = typeof args.canary === 'number' ? undefined : args.fleet;
  if (name === undefined) throw badInput('name the command, such as ping');
  const params = paramsFromArgs(args);
  const deadline =
    args.deadline === undefined ? undefined : Math.ceil((Date.now() + milliseconds(args.deadline)) / 1000);
  const canary = typeof args.canary === 'number' ? { share: args.canary, abortAbove } : undefined;
  checkRequest(name, params, { format, get, devicePort, deadline });
  return { name, params, format, get, devicePort, deadline, canary, fleet };
}

function simsOf(
  { file, fleet }: BroadcastArgs,
  client: IpCommandClient,
  io: CliIo,
  signal: AbortSignal,
): () => AsyncIterable<string> {
  if (fleet !== undefined) return () => readFleet(client, fleet, signal);
  if (file !== undefined) return () => readSims(inputOf(file, io));
  throw badInput('name the SIMs by --file or --fleet, or resume a broadcast by --resume');
}

const inputOf = (file: string, { stdin }: CliIo): Readable => (file === '-' ? stdin : createReadStream(file));

/** `broadcast-20260301-120000.db`, UTC. */
const defaultPath = (now: Date) =>
  `broadcast-${now
    .toISOString()
    .replace(/[-:]|\..*/g, '')
    .replace('T', '-')}.db`;

const badInput = (message: string) => new SupersimError('bad-input', message);
