import { SupersimError } from '../../shared/errors.js';
import { evictOldest } from '../base/evict-oldest.js';
import { createEventWindows, type EventWindows } from './event-windows.js';
import { createEventOpener, type OpenDatagram } from './events.js';
import { type KeyStore, keysPath, openKeyStore } from './key-store.js';
import { createKnownKeys, type KnownKeys } from './known-keys.js';
import { identifyMachine } from './machine.js';
import { createNumberSource, type DrawNumber } from './numbers.js';
import type { OperatorKey, SimNames } from './operator-key.js';

export interface SecurityOptions {
  /** The profile beside which the file with the keys lies; SUPERSIM_KEYS names another. */
  readonly profile?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Milliseconds since 1970; for tests. */
  readonly now?: (() => number) | undefined;
}

/** Asks the API what a SIM is called; undefined when it knows none of this name. */
export type FindSim = (sim: string) => Promise<SimNames | undefined>;

/** The keys of this installation of the sender, as requests use them. */
export interface SenderSecurity {
  /** Opens the file with the keys, if there is one. @throws SupersimError `keys-unusable`, `profile-unsafe` */
  check(): void;
  /**
   * Returns the key under which requests to a SIM are protected; undefined for a SIM without one.
   *
   * @param sim its SID or unique name
   * @param find asked about a name that no SIM with a key is known by: it may have been given another
   * @throws (rejects) SupersimError `key-revoked`, `keys-unusable`, `profile-unsafe`; and as `find`
   */
  keyFor(sim: string, find: FindSim | undefined): Promise<OperatorKey | undefined>;
  /** Returns a key by its id, also one that has been replaced, to continue a request; undefined when it was revoked. */
  keyById(id: string): OperatorKey | undefined;
  /** Draws a sequence number for a request. */
  readonly draw: DrawNumber;
  /** Opens what a device has sent without being asked. */
  readonly openDatagram: OpenDatagram;
  close(): void;
}

/** Most names that the API was asked about and that are remembered. */
const MAX_FOUND = 10_000;
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
  const found = new Map<string, SimNames | undefined>();
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

  async function namesOf(sim: string, find: FindSim): Promise<SimNames | undefined> {
    if (!found.has(sim)) {
      found.set(sim, await find(sim));
      evictOldest(found, MAX_FOUND);
    }
    return found.get(sim);
  }

  async function keysOf(keys: KnownKeys, sim: string, find: FindSim | undefined) {
    const known = keys.ofSim({ sid: sim, uniqueName: sim, iccid: sim });
    // A SID stays the same, and a SIM with a key is known by it.
    if (known.length > 0 || SID.test(sim) || find === undefined || keys.isEmpty) return known;
    const names = await namesOf(sim, find);
    return names?.sid === undefined ? [] : keys.ofSim({ sid: names.sid });
  }

  return {
    check: () => void open(),
    async keyFor(sim, find) {
      const keys = open()?.keys;
      if (keys === undefined) return undefined;
      const known = await keysOf(keys, sim, find);
      const used = known.find(({ state }) => state === 'used');
      if (used !== undefined || known.length === 0) return used;
      throw new SupersimError('key-revoked', `the key of ${sim} was revoked`);
    },
    keyById(id) {
      const key = open()?.keys.byId(id);
      return key?.state === 'revoked' ? undefined : key;
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
