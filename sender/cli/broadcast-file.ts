import { createReadStream } from 'node:fs';
import { milliseconds } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { readSims } from '../broadcast/sim-list.js';
import { type BroadcastState, createState, openState } from '../broadcast/state.js';
import type { IpCommandClient } from '../client.js';
import type { BroadcastArgs } from './broadcast-options.js';
import { type CliIo, print } from './io.js';
import { readParams } from './read-params.js';

export interface OpenedBroadcast {
  readonly path: string;
  readonly state: BroadcastState;
}

/**
 * Makes the file of a new broadcast, with its SIMs, or opens that of an earlier one.
 *
 * @throws SupersimError `bad-input`, and as the API's client for a Fleet
 */
export async function openBroadcast(args: BroadcastArgs, client: IpCommandClient, io: CliIo): Promise<OpenedBroadcast> {
  if (args.resume !== undefined) return { path: args.resume, state: await openState(args.resume) };
  const { name, format, get, port: devicePort, file, fleet } = args;
  if (name === undefined) throw badInput('name the command, such as ping');
  if ((file ?? fleet) === undefined) throw badInput('name the SIMs by --file or --fleet, or go on by --resume');
  const path =
    args.state ??
    `broadcast-${new Date()
      .toISOString()
      .replace(/[-:]|\..*/g, '')
      .replace('T', '-')}.db`;
  const params = readParams(args);
  const deadline =
    args.deadline === undefined ? undefined : Math.ceil((Date.now() + milliseconds(args.deadline)) / 1000);
  const state = await createState(path, { name, params, format, get, devicePort, deadline });
  try {
    const twice = await state.add(fleet === undefined ? readSims(inputOf(file, io)) : sidsOf(client, fleet));
    if (twice > 0) await print(io.stderr, `${twice} SIMs were named more than once; each is asked once`);
    if (state.total === 0) throw badInput('there are no SIMs');
  } catch (error) {
    await state.close();
    throw error;
  }
  return { path, state };
}

const inputOf = (file: string | undefined, { stdin }: CliIo) =>
  file === undefined || file === '-' ? stdin : createReadStream(file);

async function* sidsOf(client: IpCommandClient, fleet: string): AsyncGenerator<string, void, undefined> {
  for await (const { sid } of client.sims(fleet)) yield sid;
}

const badInput = (message: string) => new SupersimError('bad-input', message);
