import { SupersimError } from '../../../shared/errors.js';
import { createKnownKeys, type KnownKeys } from '../../security/keys/known-keys.js';
import { openOrCreateKeyStore } from '../../security/store/create-key-store.js';
import { newInstallation, refuseCopy } from '../../security/store/home.js';
import { type KeyStore, keysPath, openKeyStore } from '../../security/store/key-store.js';
import { identifyMachine } from '../../security/store/machine.js';
import type { CliIo } from '../io.js';

interface WhichKeys {
  readonly profile?: string | undefined;
}

/** The file with the keys while a command uses it. */
export interface OpenedKeys {
  readonly store: KeyStore;
  readonly keys: KnownKeys;
  /**
   * Changes it, all or nothing.
   *
   * @throws SupersimError `keys-copied` for a copy, `keys-unusable`; and as `work`
   */
  change<T>(work: () => T): T;
}

/**
 * Opens the file with the keys of a profile for as long as `use` takes.
 *
 * @throws SupersimError `bad-input` when there is none, `profile-unsafe`, `keys-unusable`; and as `use`
 */
export async function withKeys<T>(
  which: WhichKeys,
  { env }: Pick<CliIo, 'env'>,
  use: (opened: OpenedKeys) => Promise<T>,
) {
  const path = keysPath(which, env);
  const store = openKeyStore(path);
  if (store !== undefined) return useStore(store, env, use);
  throw new SupersimError('bad-input', `there is no file with keys at ${path}`, {
    remedy: '`supersim keys new` makes it, or put its backup there.',
  });
}

/** As {@link withKeys}, of a file that is created when there is none. */
export async function withNewKeys<T>(
  which: WhichKeys,
  { env }: Pick<CliIo, 'env'>,
  use: (opened: OpenedKeys) => Promise<T>,
) {
  return useStore(
    openOrCreateKeyStore(keysPath(which, env), () => newInstallation(env)),
    env,
    use,
  );
}

async function useStore<T>(
  store: KeyStore,
  env: NodeJS.ProcessEnv,
  use: (opened: OpenedKeys) => Promise<T>,
): Promise<T> {
  try {
    return await use({
      store,
      keys: createKnownKeys(store),
      change: (work) =>
        store.transaction(() => {
          refuseCopy(store, identifyMachine(env));
          return work();
        }),
    });
  } finally {
    store.close();
  }
}
