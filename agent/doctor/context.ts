import type * as z from 'zod';
import { isSupersimError, messageOf, SupersimError } from '../../shared/errors.js';
import { configFromFlags } from '../config/flags.js';
import { DEFAULT_CONFIG_FILE, resolveConfig } from '../config/load.js';
import { type Config, stateFolderOf } from '../config/schema.js';
import { CONFIG_VARIABLE } from '../config/variables.js';
import { type Ask, controlClient } from '../service/control/client.js';
import { defaultControlSocket, statusSchema } from '../service/control/schema.js';
import { defaultStateFolder } from '../storage/folder.js';
import { findUser, type Identity, identityOf, ownIdentity } from './identity.js';
import { readUnit, readUnitLog, type Unit, type UnitLog } from './systemd-unit.js';

export type Status = z.output<typeof statusSchema>;

/** What the checks read. Each method reads once and returns the same result afterwards. */
export interface Context {
  /** Path of the configuration file. */
  readonly file: string;
  /** The built-in configuration where the file cannot be used. */
  readonly config: Config;
  /** Why the file cannot be used. */
  readonly configError: SupersimError | undefined;
  /** Undefined when the configuration keeps the state in memory only. */
  readonly stateFolder: string | undefined;
  /** Path of the agent's control socket. */
  readonly socket: string;
  readonly ask: Ask;
  /** Status of the running agent, or why there is none. */
  status(): Promise<Status | SupersimError>;
  /** The service's state in systemd. */
  unit(): Promise<Unit>;
  unitLog(): Promise<UnitLog>;
  /** Identity of the running agent; else of the service's user; else of this process. */
  agent(): Promise<Identity>;
}

export interface Flags {
  readonly config?: string | undefined;
  readonly socket?: string | undefined;
}

export async function createContext({ config: named, socket: flag }: Flags): Promise<Context> {
  const chosen = named ?? (process.env[CONFIG_VARIABLE] || undefined);
  const loaded = await configFromFlags({ config: named }).catch((error: unknown) => {
    if (isSupersimError(error)) return error;
    throw error;
  });
  const config = loaded instanceof Error ? resolveConfig({}) : loaded;
  const socket = flag ?? config.control.socket ?? defaultControlSocket(process.env);
  const ask = controlClient(socket);
  const status = memoize(() => ask('GET', '/status', statusSchema).catch(asSupersimError));
  const unit = memoize(readUnit);
  return {
    file: chosen ?? DEFAULT_CONFIG_FILE,
    config,
    configError: loaded instanceof Error ? loaded : undefined,
    stateFolder: stateFolderOf({ state: { folder: config.state.folder ?? defaultStateFolder(process.env) } }),
    socket,
    ask,
    status,
    unit,
    unitLog: memoize(readUnitLog),
    agent: memoize(
      async () => (await runningAgent(await status())) ?? (await serviceUser(await unit())) ?? ownIdentity(),
    ),
  };
}

const runningAgent = async (status: Status | SupersimError): Promise<Identity | undefined> =>
  status instanceof Error ? undefined : identityOf(status.pid);

async function serviceUser({ properties }: Unit): Promise<Identity | undefined> {
  const { User: user = '', SupplementaryGroups: groups = '', LoadState: state } = properties ?? {};
  if (state !== 'loaded') return undefined;
  return findUser(user === '' ? 'root' : user, groups.split(' ').filter(Boolean));
}

function asSupersimError(error: unknown): SupersimError {
  return isSupersimError(error) ? error : new SupersimError('control-unreachable', messageOf(error), { cause: error });
}

function memoize<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= read();
    return result;
  };
}

export const usesUdp = ({ link, modem }: Config): boolean => link.policy !== 'modem' || modem.path === undefined;
export const usesModem = ({ link, modem }: Config): boolean => link.policy !== 'udp' && modem.path !== undefined;
