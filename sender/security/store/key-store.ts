import { type Stats, statSync } from 'node:fs';
import { dirname, join, parse, resolve } from 'node:path';
import * as z from 'zod';
import { isSupersimError, messageOf, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import { type Connection, openConnection, transaction } from '../../../shared/sqlite/connection.js';
import { defaultProfile } from '../../base/profile-path.js';

/** The form of the tables; a file with another is of another version. */
export const FORMAT = 1;
/** How long SQLite waits for another process of this installation. */
const BUSY_TIMEOUT_MS = 10_000;
/** Every permission bit but those of 0600. */
const MORE_THAN_0600 = 0o7177;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/**
 * The file with the keys, of which several processes may use it at once. Whatever fails in it throws SupersimError
 * `keys-unusable`.
 */
export interface KeyStore extends Pick<Connection, 'run' | 'all' | 'get'> {
  /** As it was given. */
  readonly path: string;
  /** Does all of it or nothing, on the disk when it returns; no other process writes meanwhile. */
  transaction<T>(work: () => T): T;
  close(): void;
}

/**
 * Returns the path of the file with the keys: SUPERSIM_KEYS, or beside the profile, with its name and the ending `.keys`.
 */
export function keysPath({ profile }: { profile?: string | undefined }, env: NodeJS.ProcessEnv): string {
  const given = env['SUPERSIM_KEYS'];
  if (given) return given;
  const { dir, name } = parse(profile ?? defaultProfile(env));
  return join(dir, `${name}.keys`);
}

/**
 * Opens the file with the keys.
 *
 * @returns undefined when there is none
 * @throws SupersimError `profile-unsafe` when others can read it, `keys-unusable`
 */
export function openKeyStore(path: string): KeyStore | undefined {
  const file = statsOf(path);
  if (file === undefined) return undefined;
  let connection: Connection | undefined;
  try {
    connection = openConnection(path, BUSY_TIMEOUT_MS);
    // One file, that can be copied while nothing is written; what is deleted in it is overwritten.
    connection.exec('PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON');
    checkContent(connection);
    return storeOf(connection, path, file);
  } catch (error) {
    connection?.close();
    throw asUnusable(path, error);
  }
}

/** Returns the error for a file with the keys that cannot be used. @param reason shows nothing of its content */
export const unusableKeys = (
  path: string,
  reason: string,
  cause?: unknown,
  remedy?: string,
): SupersimError<'keys-unusable'> =>
  new SupersimError('keys-unusable', `the file with the keys, ${path}, cannot be used: ${reason}`, {
    cause,
    ...(remedy !== undefined && { remedy }),
  });

/** @throws SupersimError `profile-unsafe`, `keys-unusable` */
function statsOf(path: string): Stats | undefined {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) {
      throw new SupersimError('profile-unsafe', `${path} is not a regular file`, { remedy: 'Name a regular file.' });
    }
    refuseOthers(path, stats);
    if ((stats.mode & MORE_THAN_0600) === 0) return stats;
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
    throw new SupersimError('profile-unsafe', `the file with the keys, ${path}, has mode ${mode}, more than 0600`, {
      remedy: `Run: chmod 600 ${path}. Who may have read it has the keys: replace them with \`supersim keys rotate\`.`,
    });
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw asUnusable(path, error);
  }
}

/** @throws SupersimError `profile-unsafe` when another user can put other keys in the place of these */
function refuseOthers(path: string, { uid }: Stats): void {
  const own = process.getuid?.() ?? uid;
  if (uid !== own && uid !== 0) {
    throw new SupersimError('profile-unsafe', `the file with the keys, ${path}, belongs to another user (uid ${uid})`, {
      remedy: `Use it as that user, or run: chown ${own} ${path}`,
    });
  }
  const folder = dirname(resolve(path));
  const { mode } = statSync(folder);
  // In a folder such as /tmp nobody else can replace it.
  if ((mode & WRITABLE_BY_OTHERS) === 0 || (mode & STICKY) !== 0) return;
  throw new SupersimError('profile-unsafe', `other users can replace the files in ${folder}`, {
    remedy: `Run: chmod go-w ${folder}`,
  });
}

const headSchema = z.object({ format: z.int() });

function checkContent(connection: Connection): void {
  // Indexes are checked too: by a damaged one, a SIM with a key would be taken for one without. The messages are not read,
  // as names of a damaged schema need not be UTF-8.
  const verdict = connection.get("SELECT count(*) AS bad FROM pragma_integrity_check(1) WHERE integrity_check <> 'ok'");
  if (!z.object({ bad: z.literal(0) }).safeParse(verdict).success) throw new Error('it is damaged');
  const head = headSchema.safeParse(connection.get('SELECT format FROM installation'));
  if (!head.success) throw new Error('it is damaged');
  if (head.data.format !== FORMAT) throw new Error(`it is of another version: format ${head.data.format}`);
}

function storeOf(connection: Connection, path: string, file: Stats): KeyStore {
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw asUnusable(path, error);
    }
  };

  /** Who opens the path now gets another file: both would draw the same numbers. */
  function refuseReplaced(): void {
    const { ino, dev } = statSync(path);
    if (ino !== file.ino || dev !== file.dev)
      throw new Error('it was replaced while this program used it; start again');
  }

  return {
    path,
    run: (sql, values) => guarded(() => connection.run(sql, values)),
    all: (sql, values) => guarded(() => connection.all(sql, values)),
    get: (sql, values) => guarded(() => connection.get(sql, values)),
    transaction: (work) =>
      guarded(() =>
        transaction(connection, () => {
          refuseReplaced();
          return work();
        }),
      ),
    close: connection.close,
  };
}

function asUnusable(path: string, error: unknown): unknown {
  if (isSupersimError(error)) return error;
  switch (systemCodeOf(error)) {
    case 'SQLITE_BUSY':
      return unusableKeys(path, 'another process has it locked', error, 'Find that process and end it, or wait.');
    case 'SQLITE_CANTOPEN':
      return unusableKeys(path, 'this user may not open it', error, 'Use it as the user whom it belongs to.');
    case 'ENOENT':
      return unusableKeys(path, 'it is gone', error);
    default:
      return unusableKeys(path, messageOf(error), error);
  }
}
