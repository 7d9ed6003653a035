import { createReadStream } from 'node:fs';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { IpCommandClient } from '../../api/client.js';
import { mapConcurrently } from '../../broadcast/map-concurrently.js';
import { readSims } from '../../broadcast/sim-list.js';
import { sidOf } from '../../security/keys/known-keys.js';
import type { Sim } from '../../security/keys/sims.js';
import type { CliIo } from '../io.js';
import type { SimsArgs } from './options.js';
import type { OpenedKeys } from './store.js';

/** Most SIMs that the API is asked about at once. */
const MAX_LOOKUPS = 8;

/** A SIM, and what the user called it. */
export interface NamedSim {
  readonly name: string;
  readonly sim: Sim;
}

/** Reads the names of the SIMs that the arguments give: one by one, or in a file. */
export async function simNames({ sim, file }: SimsArgs, { stdin }: Pick<CliIo, 'stdin'>): Promise<string[]> {
  if (file === undefined) return sim;
  const names: string[] = [];
  for await (const name of readSims(file === '-' ? stdin : createReadStream(file))) names.push(name);
  if (names.length === 0) throw new SupersimError('bad-input', 'no SIMs: the list is empty');
  return names;
}

/**
 * Asks the API about SIMs.
 *
 * @returns them in the order of the names
 * @throws SupersimError `bad-input` when there is none of a name; as the API's client
 */
export async function findSims(names: readonly string[], client: Pick<IpCommandClient, 'sim'>): Promise<NamedSim[]> {
  const found = new Map<string, Sim>();
  const looking = mapConcurrently({
    source: new Set(names).values(),
    maxConcurrent: MAX_LOOKUPS,
    mayStart: () => true,
    mapper: async (name) => ({ name, sim: await findSim(name, client) }),
    stop: new AbortController(),
  });
  for await (const { name, sim } of looking) found.set(name, sim);
  return names.flatMap((name) => {
    const sim = found.get(name);
    return sim === undefined ? [] : [{ name, sim }];
  });
}

/** @throws SupersimError `bad-input` when there is none; as the API's client */
export async function findSim(name: string, client: Pick<IpCommandClient, 'sim'>): Promise<Sim> {
  const found = await client.sim(name);
  if (found === undefined) throw unknownSim(name, 'the API knows no such SIM');
  const { sid, unique_name, iccid } = found;
  return { sid, uniqueName: unique_name ?? undefined, iccid: iccid ?? undefined };
}

/** Finds the SID of a SIM. @param recorded the one that the file with the keys has under this name */
export type FindSid = (name: string, recorded: string | undefined) => Promise<string>;

type OpenClient = () => Promise<Pick<IpCommandClient, 'sim'>>;

/**
 * Finds SIMs that have keys.
 *
 * @returns the SID of each, in the order of the names
 * @throws SupersimError `bad-input` when one has no key; as `findSid`
 */
export async function sidsWithKeys(
  names: readonly string[],
  { store, keys }: Pick<OpenedKeys, 'store' | 'keys'>,
  findSid: FindSid,
): Promise<string[]> {
  const sids = new Set<string>();
  for (const name of new Set(names)) {
    const sid = await findSid(name, sidOf(store, { sid: name, uniqueName: name, iccid: name }));
    if (keys.ofSim({ sid }).length === 0) throw unknownSim(name, 'this SIM has no key');
    sids.add(sid);
  }
  return [...sids];
}

/** Takes what is recorded, and asks the API about other names. The finding throws as `openClient` and the client. */
export function recordedFirst(openClient: OpenClient): FindSid {
  const client = once(openClient);
  return async (name, recorded) => recorded ?? (await findSim(name, await client())).sid;
}

/**
 * Asks the API what is called so now: a name may have moved to another SIM. Where it cannot be asked, or knows none, what is
 * recorded is taken.
 *
 * @param warn told which names the API was not asked about
 */
export function apiFirst(openClient: OpenClient, warn: (name: string) => Promise<void>): FindSid {
  const client = once(openClient);
  return async (name, recorded) => {
    // A SID stays the same.
    if (recorded === name) return recorded;
    const now = await client()
      .then((opened) => opened.sim(name))
      .catch((error: unknown) => {
        if (isSupersimError(error, 'api-unreachable') || isSupersimError(error, 'no-credentials')) return warn(name);
        throw error;
      });
    const sid = now?.sid ?? recorded;
    if (sid === undefined) throw unknownSim(name, 'no SIM of this name is known');
    return sid;
  };
}

function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () => {
    opened ??= open();
    return opened;
  };
}

const unknownSim = (name: string, why: string) => new SupersimError('bad-input', `${JSON.stringify(name)}: ${why}`);
