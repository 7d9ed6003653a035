import { raceTimeout } from '../../shared/async/with-timeout.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import type { ClockCheck } from '../base/clock-sync.js';
import type { Log } from '../base/log.js';
import { type Config, stateFolderOf } from '../config/schema.js';
import { type Access, type AccessRules, createAccess, isProtectionRequired } from './authorize.js';
import { createEchoValues } from './echo.js';
import { createEventProtection, type EventPayload } from './event.js';
import type { DeviceKey } from './key-file.js';
import { type LoadedKeys, loadKeys } from './key-folder.js';
import { openNumberFiles, type StoredNumbers } from './number-files.js';
import { createProtection, type Protection } from './protection.js';
import { createReplayGuard } from './replay-guard.js';
import { createSequenceNumbers, type NumbersState, type SequenceNumbers } from './sequence-numbers.js';
import { storeWindows, takeWindows } from './window-file.js';

/** After an unclean stop the clock takes up to eight seconds to pass the numbers that were reserved. */
const READY_MS = 10_000;
/** By then there are numbers for many replies at once: at first there are only as many as the clock has moved on. */
const MORE_READY_MS = 1000;
/** Interval at which a state folder that cannot be used is tried again. */
const FOLDER_INTERVAL_MS = 60_000;

/** A key as `status` shows it. */
export interface KeyStatus {
  readonly name: string;
  readonly kid: number;
  readonly device: string;
  /** Undefined for all commands. */
  readonly allow: readonly string[] | undefined;
  /** Whether its replay window is known; the next request is challenged otherwise. */
  readonly windowKnown: boolean;
}

/** How the protection of requests is doing. */
export interface SecurityStatus {
  /** Whether requests must be protected with a key. */
  readonly required: boolean;
  readonly unprotected: Config['security']['unprotected'];
  readonly except: readonly string[];
  readonly keys: readonly KeyStatus[];
  /** Why key files cannot be used. */
  readonly problems: readonly string[];
  /** Undefined without keys. */
  readonly numbers: NumbersState | undefined;
}

/** Who may command the device: its keys, and what belongs to them. */
export interface Security {
  readonly access: Access;
  readonly protection: Protection;
  readonly numbers: Pick<SequenceNumbers, 'take' | 'wait'>;
  /** Protects an event where the configuration names a key for it; see {@link createEventProtection}. */
  protectEvent(payload: EventPayload): Promise<Buffer> | Buffer;
  /** Uses the state folder, once it is known that no other agent does. */
  open(): void;
  /**
   * Resolves when protected messages can be sent, many at once, as far as that is near: after some seconds in any case.
   *
   * @returns undefined where there are no keys
   */
  whenReady(): Promise<void> | undefined;
  /** Reads the keys of a configuration. @throws (rejects) SupersimError when the configuration cannot be used with them */
  prepare(config: Config): Promise<LoadedKeys>;
  /** Applies a configuration and its keys. @returns whether the keys have changed */
  change(config: Config, loaded: LoadedKeys): boolean;
  status(): SecurityStatus;
  /** Stores what the next run needs. No request may be taken in any more. */
  stop(): Promise<void>;
}

/** Where keys are, besides the folder that the configuration names. */
export interface KeySources {
  /** The folder that counts where the configuration names none. */
  readonly defaultFolder?: string | undefined;
  /** Folder of systemd's credentials; their key files count too. */
  readonly credentials?: string | undefined;
}

export interface SecurityOptions {
  readonly config: Config;
  readonly loaded: LoadedKeys;
  readonly sources?: KeySources | undefined;
  readonly isSynchronized: ClockCheck;
  readonly log: Log;
}

export function createSecurity({ config, loaded, sources, isSynchronized, log }: SecurityOptions): Security {
  let current = { config, loaded };
  const folder = stateFolderOf(config);
  const numbers = createSequenceNumbers({ isSynchronized, log });
  const guard = createReplayGuard(createEchoValues());
  let isAllowed = false;
  let isOpen = false;
  /** Whether the run before was stopped cleanly: then few commands are left over. */
  let wasClean = false;
  /** While the state folder cannot be used: when it is tried again. */
  let folderTimer: NodeJS.Timeout | undefined;
  const ending = new AbortController();

  let rules = rulesOf(config, loaded);

  function openFolder(): void {
    if (isOpen || !isAllowed || ending.signal.aborted) return;
    if (folder === undefined || current.loaded.keys.length === 0) return;
    clearTimeout(folderTimer);
    folderTimer = undefined;
    try {
      const store = openNumberFiles(folder);
      isOpen = true;
      wasClean = store.found?.isExact === true;
      restoreWindows(folder, store.found);
      numbers.open(store);
    } catch (error) {
      folderTimer = setTimeout(openFolder, FOLDER_INTERVAL_MS);
      folderTimer.unref();
      log.error(
        { folder, error: messageOf(error) },
        'sequence numbers cannot be stored: nothing protected can be sent',
      );
    }
  }

  function restoreWindows(from: string, found: StoredNumbers | undefined): void {
    const windows = takeWindows(from, found, log);
    if (windows !== undefined) guard.restore(windows);
    guard.retain(current.loaded.keys);
  }

  const protection = createProtection({ keys: () => current.loaded.keys, numbers, guard });
  const protectEvent = createEventProtection(protection, numbers);

  function numbersState(): NumbersState | undefined {
    if (current.loaded.keys.length === 0) return undefined;
    return folderTimer === undefined ? numbers.state : 'unwritable';
  }

  async function whenReady(): Promise<void> {
    const ready = new Promise<void>((resolve) => numbers.wait(resolve, resolve));
    await raceTimeout(READY_MS, ready, ending).catch(() => undefined);
    if (!wasClean) await pause(MORE_READY_MS, ending.signal);
  }

  return {
    access: createAccess(() => rules),
    protection,
    numbers,
    protectEvent(payload) {
      const { key } = current.config.events;
      return key === undefined ? payload.bytes : protectEvent(key, payload);
    },
    open() {
      isAllowed = true;
      openFolder();
    },
    whenReady: () => (current.loaded.keys.length === 0 ? undefined : whenReady()),
    async prepare(next) {
      const found = await readKeys(next, sources);
      expectNoOpening(rules, next, found);
      return found;
    },
    change(next, nextLoaded) {
      const before = current.loaded.keys;
      const { keys } = nextLoaded;
      current = { config: next, loaded: nextLoaded };
      rules = rulesOf(current.config, current.loaded);
      guard.retain(keys);
      openFolder();
      return keys.length !== before.length || keys.some((key) => !before.some((each) => isSameKey(each, key)));
    },
    status: () => ({
      required: isProtectionRequired(rules),
      unprotected: current.config.security.unprotected,
      except: current.config.security.except,
      keys: current.loaded.keys.map((key) => ({
        name: key.name,
        kid: key.kid,
        device: key.deviceId,
        allow: key.allow,
        windowKnown: guard.isKnown(key),
      })),
      problems: current.loaded.problems.map(({ message }) => message),
      numbers: numbersState(),
    }),
    async stop() {
      ending.abort();
      clearTimeout(folderTimer);
      const last = await numbers.stop();
      if (isOpen && folder !== undefined && last !== undefined) await storeWindows(folder, last, guard.windows, log);
    },
  };
}

const rulesOf = (config: Config, loaded: LoadedKeys): AccessRules => ({
  security: config.security,
  ports: config.listen.ports,
  keys: loaded.keys,
  hasKeys: hasKeys(loaded),
});

/** Resolves after some time, or when the signal is aborted. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  raceTimeout(ms, new Promise<never>(() => undefined), { signal }).catch(() => undefined);

const hasKeys = ({ keys, problems }: LoadedKeys): boolean => keys.length + problems.length > 0;

/**
 * Reads the keys of a configuration. Only the default folder may be missing: one that is named and not there, as its disk
 * is not mounted, must not open the device.
 *
 * @throws (rejects) SupersimError `config-invalid` when they cannot be used with it. That there is no key for the events is no
 * reason while there are files that cannot be used: it may be among them, and such a file does not stop the agent
 */
export async function readKeys(config: Config, { defaultFolder, credentials }: KeySources = {}): Promise<LoadedKeys> {
  const named = config.security.keys;
  const loaded = await loadKeys([
    { path: named ?? defaultFolder, mayBeMissing: named === undefined, isShared: false },
    { path: credentials, mayBeMissing: false, isShared: true },
  ]);
  if (hasKeys(loaded) && stateFolderOf(config) === undefined) {
    throw new SupersimError('config-invalid', 'state.folder: with keys the state cannot be in memory only', {
      remedy:
        'Configure `state.folder`: a sequence number that was used must never be used again, also after a restart.',
    });
  }
  const { key } = config.events;
  if (key !== undefined && loaded.problems.length === 0 && !loaded.keys.some(({ name }) => name === key)) {
    throw new SupersimError('config-invalid', `events.key: there is no key ${key} that can be used`);
  }
  return loaded;
}

/**
 * A reload must not open a device by accident, as while its only key is being replaced.
 *
 * @throws SupersimError `config-invalid`
 */
function expectNoOpening(before: AccessRules, config: Config, loaded: LoadedKeys): void {
  const isOpened = isProtectionRequired(before) && !hasKeys(loaded) && config.security.required === undefined;
  if (!isOpened) return;
  throw new SupersimError('config-invalid', 'the last key is gone: without one everyone could command the device', {
    remedy: 'Put a key into its folder. If that is wanted, set `security.required: false`, or restart the agent.',
  });
}

const isSameKey = (one: DeviceKey, other: DeviceKey): boolean =>
  one.fingerprint === other.fingerprint &&
  one.name === other.name &&
  JSON.stringify(one.allow) === JSON.stringify(other.allow);
