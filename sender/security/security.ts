import { SupersimError } from '../../shared/errors.js';
import { isIccid, isSimSid } from '../base/sim-name.js';
import { createEventWindows, type EventWindows } from './event-windows.js';
import { createEventOpener, type OpenDatagram } from './events.js';
import { createKnownKeys, isUsable, isUsed, type KnownKey, type KnownKeys } from './keys/known-keys.js';
import type { OperatorKey } from './keys/operator-key.js';
import { createNumberSource, type DrawNumber } from './numbers.js';
import { refuseCopy } from './store/home.js';
import { type KeyStore, keysPath, openKeyStore, unusableKeys } from './store/key-store.js';
import { identifyMachine } from './store/machine.js';
import { createTurns, type TakeTurn } from './turns.js';

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

/** A SIM and its key. */
export interface AddressedSim {
  /** Undefined for a SIM without one. */
  readonly key: OperatorKey | undefined;
  /** Its SID or unique name, by which its replies are known. */
  readonly sim: string;
  /** What to send to: its SID where the name was looked up, as that may be given to another SIM meanwhile. */
  readonly target: string;
}

/** The keys of this installation of the sender, as requests use them. */
export interface SenderSecurity {
  /** Opens the file with the keys, if there is one. @throws SupersimError `keys-unusable`, `profile-unsafe` */
  check(): void;
  /**
   * Finds the key under which requests to a SIM are protected.
   *
   * @param sim its SID, unique name or ICCID
   * @param client asked about a name that no SIM with a key is known by: the SIM may have been given another
   * @throws (rejects) SupersimError `key-revoked`, `keys-unusable`, `profile-unsafe`; `bad-input` when the API knows no such
   *   SIM, or cannot be asked; and as the client
   */
  keyFor(sim: string, client: SimLookup): Promise<AddressedSim>;
  /**
   * Finds a key by its id, also one that has been replaced, to continue a request to a SIM.
   *
   * @returns undefined when it was revoked
   */
  keyById(sim: string, id: string): (AddressedSim & { readonly key: OperatorKey }) | undefined;
  /**
   * Expects that the file with the keys, if there is one, belongs to this machine and stands where it was made.
   *
   * @throws SupersimError `keys-copied`: nothing can be protected; `keys-unusable`, `profile-unsafe`
   */
  expectOwn(): void;
  /** Draws a sequence number for a request. */
  readonly draw: DrawNumber;
  /** Waits for a request's turn under its key. */
  readonly takeTurn: TakeTurn;
  /** Opens what a device has sent without being asked. */
  readonly openDatagram: OpenDatagram;
  close(): void;
}

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
  let opened: Opened | undefined;

  function open(): Opened | undefined {
    if (opened !== undefined) return opened;
    const store = openKeyStore(path);
    if (store === undefined && env['SUPERSIM_KEYS'])
      throw unusableKeys(path, 'there is none, and SUPERSIM_KEYS names it');
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

  function openExisting(): Opened {
    const source = open();
    if (source === undefined) throw new SupersimError('keys-unusable', `${path} is gone`);
    return source;
  }

  return {
    check: () => void open(),
    takeTurn: createTurns(),
    async keyFor(sim, client) {
      const keys = open()?.keys;
      if (keys === undefined || keys.isEmpty) return { sim, target: sim, key: undefined };
      const known = keys.ofSim({ sid: sim, uniqueName: sim, iccid: sim });
      const [first] = known;
      // A SID stays the same, and a SIM with a key is known by it.
      if (first === undefined && !isSimSid(sim)) {
        const sid = await lookUp(sim, client);
        return { sim: nameOf(sim, sid), target: sid, key: usedOf(keys.ofSim({ sid }), sim) };
      }
      const name = first === undefined ? sim : nameOf(sim, first.sid);
      return { sim: name, target: name, key: usedOf(known, sim) };
    },
    keyById(sim, id) {
      const key = open()?.keys.byId(id);
      if (key === undefined || !isUsable(key)) return undefined;
      const name = nameOf(sim, key.sid);
      return { sim: name, target: name, key };
    },
    expectOwn() {
      const store = open()?.store;
      if (store !== undefined) refuseCopy(store, identifyMachine(env));
    },
    draw: async () => openExisting().draw(),
    openDatagram: createEventOpener({
      keysOf: (names) => open()?.keys.ofSim(names) ?? [],
      judge: (key, number, use) => openExisting().events[use](key, number),
    }),
    close() {
      opened?.store.close();
      opened = undefined;
    },
  };
}

/** @throws SupersimError `bad-input` when it has none that is known: what would go to it could be of a SIM with a key */
async function lookUp(sim: string, client: SimLookup): Promise<string> {
  if (client.sim === undefined) {
    throw new SupersimError('bad-input', `it cannot be told whether ${sim} has a key`, {
      remedy: 'Name the SIM by its SID, or pass a client that has `sim`, as IpCommandClient does.',
    });
  }
  const found = await client.sim(sim);
  if (found !== undefined) return found.sid;
  throw new SupersimError('bad-input', `the API knows no SIM ${sim}`, { remedy: 'Check its name or SID.' });
}

/** The API takes a SID or a unique name in a command, and no ICCID. */
const nameOf = (sim: string, sid: string): string => (isIccid(sim) ? sid : sim);

/** The same keys where it is known already how a SIM is addressed, so that it is not looked up again. */
export const addressedTo = <S extends Pick<SenderSecurity, 'keyFor'>>(security: S, addressed: AddressedSim): S => ({
  ...security,
  keyFor: async () => addressed,
});

/** @throws SupersimError `key-revoked` */
function usedOf(known: readonly KnownKey[], sim: string): OperatorKey | undefined {
  const used = known.find(isUsed);
  if (used === undefined && known.length > 0) throw noKey(sim, known);
  return used;
}

let shared: SenderSecurity | undefined;

/** The keys beside the default profile, or those that SUPERSIM_KEYS names, for as long as this process runs. */
export function defaultSecurity(): SenderSecurity {
  shared ??= openSecurity();
  return shared;
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
