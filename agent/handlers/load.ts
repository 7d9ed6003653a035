import { isSupersimError, messageOf, SupersimError } from '../../shared/errors.js';
import { type Log, silentLog } from '../base/log.js';
import { importLater } from '../base/shortage.js';
import type { Config, ProgramConfig, SocketConfig } from '../config/schema.js';
import { commands } from './builtin/commands.js';
import { echo } from './builtin/echo.js';
import { type HealthSources, health } from './builtin/health.js';
import { info } from './builtin/info.js';
import { ping } from './builtin/ping.js';
import { restartHandlers } from './builtin/restart.js';
import type { KnownPlaces } from './file-safety.js';
import type { Handler, HandlerDefinition } from './handler.js';
import { addHandler, compileBuiltIn, compileHandler, type Registry } from './registry.js';
import { findUserIds } from './user-ids.js';

/** Handlers whose files are looked at at once. */
const CHECKED_AT_ONCE = 64;

/** An agent's handlers. */
export interface LoadedHandlers {
  readonly registry: Registry;
  /**
   * Looks at the files of the configured handlers, and logs those that cannot be used. They are checked again before each
   * run, so that a correction needs no restart, and nothing has to wait for this.
   *
   * @param mayContinue asked now and then; false ends it
   */
  checkFiles(mayContinue?: () => boolean): Promise<void>;
}

/**
 * Loads an agent's handlers: built-in ones, those of the embedding program, and configured ones. A configured handler that
 * is invalid is logged and left out.
 *
 * @throws (rejects) SupersimError `handler-invalid` when one of `own` is invalid
 */
export async function loadHandlers(
  config: Config,
  own: readonly HandlerDefinition[],
  log: Log,
  sources: HealthSources = {},
): Promise<LoadedHandlers> {
  const registry: Registry = new Map();
  const builtIns = [ping, echo, info(config.device.id, sources.link), health(sources), commands(registry)];
  for (const handler of [...builtIns.map(compileBuiltIn), ...restartHandlers(config), ...own.map(compileHandler)]) {
    addHandler(registry, handler);
  }
  const kinds = createKinds();
  const added = await addConfigured(registry, config, log, kinds);
  await addModules(registry, config, log);
  reportRawPorts(registry, config, log);
  return { registry, checkFiles: (mayContinue = () => true) => checkAll(added, kinds, log, mayContinue) };
}

/**
 * Loads an agent's handlers, and requires that all are valid.
 *
 * @throws (rejects) SupersimError `handler-invalid` with a line for each invalid one
 */
export async function loadAllHandlers(
  config: Config,
  own: readonly HandlerDefinition[],
  sources?: HealthSources,
): Promise<Registry> {
  const problems: string[] = [];
  const report: Log['error'] = ({ handler, module, error }, message) => {
    problems.push([message, handler ?? module, error].filter((part) => part !== undefined).join(': '));
  };
  const { registry, checkFiles } = await loadHandlers(config, own, { ...silentLog, error: report }, sources);
  await checkFiles();
  if (problems.length === 0) return registry;
  throw new SupersimError('handler-invalid', problems.join('\n'), {
    remedy: 'Correct the configuration or the handler as the message says.',
  });
}

type ConfiguredHandler = readonly [name: string, config: ProgramConfig | SocketConfig];

/** @returns those that were added */
async function addConfigured(registry: Registry, config: Config, log: Log, kinds: Kinds): Promise<ConfiguredHandler[]> {
  const findIds = once(findUserIds);
  const added: ConfiguredHandler[] = [];
  for (const [name, handler] of Object.entries(config.handlers)) {
    await tryOrLog(log, { handler: name }, 'handler not loaded', async () => {
      addHandler(registry, await makeConfigured(name, handler, kinds, findIds));
      added.push([name, handler]);
    });
  }
  return added;
}

/** Loads the code of each kind of configured handlers once, where there is one. */
const createKinds = () => ({
  socket: lazily(() => importLater(() => import('./socket.js'))),
  program: lazily(() => importLater(() => import('./program.js'))),
});

type Kinds = ReturnType<typeof createKinds>;

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

async function makeConfigured(
  name: string,
  config: ProgramConfig | SocketConfig,
  kinds: Kinds,
  findIds: typeof findUserIds,
): Promise<Handler> {
  if ('socket' in config) return (await kinds.socket()).socketHandler(name, config);
  return (await kinds.program()).programHandler(name, config, findIds);
}

async function checkAll(
  added: readonly ConfiguredHandler[],
  kinds: Kinds,
  log: Log,
  mayContinue: () => boolean,
): Promise<void> {
  const places: KnownPlaces = new Map();
  for (let at = 0; at < added.length && mayContinue(); at += CHECKED_AT_ONCE) {
    const checks = added.slice(at, at + CHECKED_AT_ONCE).map(([name, handler]) => ({
      name,
      message: 'socket' in handler ? 'handler socket not usable' : 'handler program not runnable',
      found: checkFiles(handler, kinds, places).catch((error: unknown) => ({ error })),
    }));
    for (const { name, message, found } of checks) {
      const failed = await found;
      if (failed !== undefined && mayContinue()) logFailure(log, { handler: name }, message, failed.error);
    }
  }
}

/** @param places what was found for other handlers */
async function checkFiles(config: ProgramConfig | SocketConfig, kinds: Kinds, places: KnownPlaces): Promise<undefined> {
  if ('socket' in config) await (await kinds.socket()).resolveSafeSocket(config.socket);
  else await (await kinds.program()).checkRunnable(config, places);
}

async function addModules(registry: Registry, config: Config, log: Log): Promise<void> {
  if (config.modules.length === 0) return;
  const { loadModule, readHandler } = await importLater(() => import('./module/module.js'));
  for (const path of config.modules) {
    await tryOrLog(log, { module: path }, 'module not loaded', async () => {
      for (const exported of await loadModule(path)) {
        const name = 'name' in exported ? String(exported.name) : 'without a name';
        await tryOrLog(log, { handler: name, module: path }, 'handler not loaded', async () => {
          addHandler(registry, readHandler(exported));
        });
      }
    });
  }
}

async function tryOrLog(
  log: Log,
  what: Record<string, string>,
  message: string,
  attempt: () => Promise<unknown>,
): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    logFailure(log, what, message, error);
  }
}

function logFailure(log: Log, what: Record<string, string>, message: string, error: unknown): void {
  const code = isSupersimError(error) ? { code: error.code, remedy: error.remedy } : {};
  log.error({ ...what, ...code, error: messageOf(error) }, message);
}

/** Makes a function that finds each user's IDs once. */
function once(find: typeof findUserIds): typeof findUserIds {
  const found = new Map<string, ReturnType<typeof find>>();
  return (user) => {
    const ids = found.get(user) ?? find(user);
    found.set(user, ids);
    return ids;
  };
}

function reportRawPorts(registry: Registry, config: Config, log: Log): void {
  for (const { port, handler } of config.listen.ports) {
    if (handler !== undefined && !registry.has(handler)) {
      log.error({ port, handler }, 'raw port: its handler does not exist; datagrams to the port are not answered');
    }
  }
}
