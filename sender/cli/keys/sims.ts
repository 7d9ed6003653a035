import { createReadStream } from 'node:fs';
import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import type { IpCommandClient } from '../../api/client.js';
import { mapConcurrently } from '../../broadcast/map-concurrently.js';
import { readSims } from '../../broadcast/sim-list.js';
import { type KnownKeys, sidOf } from '../../security/keys/known-keys.js';
import type { Sim } from '../../security/keys/sims.js';
import type { KeyStore } from '../../security/store/key-store.js';
import type { CliIo } from '../io.js';
import type { SimsArgs } from './options.js';

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

/**
 * Finds SIMs that have keys: in the file with the keys, or where it knows none of that name, through the API.
 *
 * @returns the SID of each, in the order of the names
 * @throws SupersimError `bad-input` when one has no key; as `openClient`
 */
export async function sidsWithKeys(
  names: readonly string[],
  store: KeyStore,
  keys: KnownKeys,
  openClient: () => Promise<Pick<IpCommandClient, 'sim'>>,
): Promise<string[]> {
  const sids: string[] = [];
  for (const name of new Set(names)) {
    const known = sidOf(store, { sid: name, uniqueName: name, iccid: name });
    const sid = known ?? (await findSim(name, await openClient())).sid;
    if (keys.ofSim({ sid }).length === 0) throw unknownSim(name, 'this SIM has no key');
    sids.push(sid);
  }
  return [...new Set(sids)];
}

/**
 * Finds SIMs that have keys, as the API calls them now: a name may have moved to another SIM. Where the API cannot be asked,
 * as the file with the keys has them.
 *
 * @param warn told which names the API was not asked about
 * @throws SupersimError `bad-input` when one has no key
 */
export async function sidsNow(
  names: readonly string[],
  store: KeyStore,
  keys: KnownKeys,
  {
    openClient,
    warn,
  }: { openClient: () => Promise<Pick<IpCommandClient, 'sim'>>; warn: (name: string) => Promise<void> },
): Promise<string[]> {
  const sids: string[] = [];
  for (const name of new Set(names)) {
    const known = sidOf(store, { sid: name, uniqueName: name, iccid: name });
    if (known !== undefined && known === name) sids.push(known);
    else {
      const now = await openClient()
        .then((client) => client.sim(name))
        .catch((error: unknown) => {
          if (isSupersimError(error, 'api-unreachable') || isSupersimError(error, 'no-credentials')) return warn(name);
          throw error;
        });
      sids.push(...(await sidsWithKeys([now?.sid ?? name], store, keys, openClient)));
    }
  }
  return [...new Set(sids)];
}

const unknownSim = (name: string, why: string) => new SupersimError('bad-input', `${JSON.stringify(name)}: ${why}`);
