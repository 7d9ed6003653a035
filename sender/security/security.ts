import { SupersimError } from '../../shared/errors.js';
import { evictOldest } from '../base/evict-oldest.js';
import { createEventWindows, type EventWindows } from './event-windows.js';
import { createEventOpener, type OpenDatagram } from './events.js';
import { createKnownKeys, isUsable, isUsed, type KnownKey, type KnownKeys } from './keys/known-keys.js';
import type { OperatorKey } from './keys/operator-key.js';
import { createNumberSource, type DrawNumber } from './numbers.js';
import { refuseCopy } from './store/home.js';
import { type KeyStore, keysPath, openKeyStore } from './store/key-store.js';
import { identifyMachine } from './store/machine.js';

export interface SecurityOptions {
  /** The profile beside which the file with the keys lies; SUPERSIM_KEYS names another. */
  readonly profile?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Milliseconds since 1970; for tests. */
  readonly now?: (() => number) | undefined;
}

/** Finds a SIM at the API by one of its names, as `IpCommandClient` does. */
export interface SimLookup {
  readonly sim?: ((name: string) => Promise<{ readonly sid: string } | undefined>) | undefined;
}

/** The keys of this installation of the sender, as requests use them. */
export interface SenderSecurity {
  /** Opens the file with the keys, if there is one. @throws SupersimError `keys-unusable`, `profile-unsafe` */
  check(): void;
  /**
   * Returns the key under which requests to a SIM are protected; undefined for a SIM without one.
   *
   * @param sim its SID or unique name
   * @param client asked about a name that no SIM with a key is known by: the SIM may have been given another
   * @throws (rejects) SupersimError `key-revoked`, `keys-unusable`, `profile-unsafe`; and as the client
   */
  keyFor(sim: string, client: SimLookup): Promise<OperatorKey | undefined>;
  /** Returns a key by its id, also one that has been replaced, to continue a request; undefined when it was revoked. */
  keyById(id: string): OperatorKey | undefined;
  /**
   * Expects that the file with the keys, if there is one, belongs to this machine and stands where it was made.
   *
   * @throws SupersimError `keys-copied`: nothing can be protected; `keys-unusable`, `profile-unsafe`
   */
  expectOwn(): void;
  /** Draws a sequence number for a request. */
  readonly draw: DrawNumber;
  /** Opens what a device has sent without being asked. */
  readonly openDatagram: OpenDatagram;
  close(): void;
}

/** Most names that the API was asked about and that are remembered, and for how long: SIMs get other names. */
const MAX_FOUND = 10_000;
const FOUND_MS = 600_000;
const SID = /^HS[0-9a-f]{32}$/i;

/** What is made of the file with the keys, once there is one. */
interface Opened {
  readonly store: KeyStore;
  readonly keys: KnownKeys;
  readonly draw: DrawNumber;
  readonly events: EventWindows;
}

/**
 * Opens the keys of this installation: the file beside the profile that `supersim keys` writes. Without a file there are
 * no keys; one that is made later is found.
 */
export function openSecurity({ profile, env = process.env, now }: SecurityOptions = {}): SenderSecurity {
  const path = keysPath({ profile }, env);
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const found = new Map<string, { readonly sid: string | undefined; readonly at: number }>();
  let opened: Opened | undefined;

  function open(): Opened | undefined {
    if (opened !== undefined) return opened;
    const store = openKeyStore(path);
    if (store === undefined) return undefined;
    const machine = () => identifyMachine(env);
    opened = {
      store,
      keys: createKnownKeys(store),
      draw: createNumberSource(store, { machine, now, sleep }),
      events: createEventWindows(store),
    };
    return opened;
  }

  async function sidOf(sim: string, client: SimLookup): Promise<string | undefined> {
    const before = found.get(sim);
    if (before !== undefined && performance.now() - before.at < FOUND_MS) return before.sid;
    const sid = (await client.sim?.(sim))?.sid;
    found.set(sim, { sid, at: performance.now() });
    evictOldest(found, MAX_FOUND);
    return sid;
  }

  async function keysOf(keys: KnownKeys, sim: string, client: SimLookup) {
    const known = keys.ofSim({ sid: sim, uniqueName: sim, iccid: sim });
    // A SID stays the same, and a SIM with a key is known by it.
    if (known.length > 0 || SID.test(sim) || client.sim === undefined || keys.isEmpty) return known;
    const sid = await sidOf(sim, client);
    return sid === undefined ? [] : keys.ofSim({ sid });
  }

  return {
    check: () => void open(),
    async keyFor(sim, client) {
      const keys = open()?.keys;
      if (keys === undefined) return undefined;
      const known = await keysOf(keys, sim, client);
      const used = known.find(isUsed);
      if (used === undefined && known.length > 0) throw noKey(sim, known);
      return used;
    },
    keyById(id) {
      const key = open()?.keys.byId(id);
      return key !== undefined && isUsable(key) ? key : undefined;
    },
    expectOwn() {
      const store = open()?.store;
      if (store !== undefined) refuseCopy(store, identifyMachine(env));
    },
    async draw() {
      const source = open();
      if (source === undefined) throw new SupersimError('keys-unusable', `${path} is gone`);
      return source.draw();
    },
    openDatagram: createEventOpener({
      keysOf: (names) => open()?.keys.ofSim(names) ?? [],
      judge(key, number, use) {
        const source = open();
        if (source === undefined) throw new SupersimError('keys-unusable', `${path} is gone`);
        return source.events[use](key, number);
      },
    }),
    close() {
      opened?.store.close();
      opened = undefined;
    },
  };
}

/** Says why a SIM has keys, and none that is used. */
function noKey(sim: string, known: readonly KnownKey[]): SupersimError {
  if (!known.some(({ state }) => state === 'foreign')) {
    return new SupersimError('key-revoked', `the key of ${sim} was revoked`);
  }
  return new SupersimError(
    'key-revoked',
    `the key of ${sim} is that of the installation which this file with the keys was copied from`,
  );
}
