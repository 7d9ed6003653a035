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
import type { HandlerDefinition } from './handler.js';
import { addHandler, compileBuiltIn, compileHandler, type Registry } from './registry.js';

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
): Promise<Registry> {
  const registry: Registry = new Map();
  const builtIns = [ping, echo, info(config.device.id, sources.link), health(sources), commands(registry)];
  for (const handler of [...builtIns.map(compileBuiltIn), ...restartHandlers(config), ...own.map(compileHandler)]) {
    addHandler(registry, handler);
  }
  await addConfigured(registry, config, log);
  await addModules(registry, config, log);
  reportRawPorts(registry, config, log);
  return registry;
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
  const registry = await loadHandlers(config, own, { ...silentLog, error: report }, sources);
  if (problems.length === 0) return registry;
  throw new SupersimError('handler-invalid', problems.join('\n'), {
    remedy: 'Correct the configuration or the handler as the message says.',
  });
}

async function addConfigured(registry: Registry, config: Config, log: Log): Promise<void> {
  for (const [name, handler] of Object.entries(config.handlers)) {
    if ('socket' in handler) await addSocket(registry, name, handler, log);
    else await addProgram(registry, name, handler, log);
  }
}

async function addProgram(registry: Registry, name: string, config: ProgramConfig, log: Log): Promise<void> {
  const { checkRunnable, programHandler } = await importLater(() => import('./program.js'));
  await tryOrLog(log, { handler: name }, 'handler not loaded', async () => {
    addHandler(registry, await programHandler(name, config));
  });
  // Checked again before each run, so that a correction needs no restart.
  if (registry.has(name)) {
    await tryOrLog(log, { handler: name }, 'handler program not runnable', () => checkRunnable(config));
  }
}

async function addSocket(registry: Registry, name: string, config: SocketConfig, log: Log): Promise<void> {
  const { resolveSafeSocket, socketHandler } = await importLater(() => import('./socket.js'));
  const handler = socketHandler(name, config);
  await tryOrLog(log, { handler: name }, 'handler not loaded', async () => addHandler(registry, handler));
  if (registry.get(name) === handler) {
    await tryOrLog(log, { handler: name }, 'handler socket not usable', () => resolveSafeSocket(config.socket));
  }
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
    const code = isSupersimError(error) ? { code: error.code, remedy: error.remedy } : {};
    log.error({ ...what, ...code, error: messageOf(error) }, message);
  }
}

function reportRawPorts(registry: Registry, config: Config, log: Log): void {
  for (const { port, handler } of config.listen.ports) {
    if (handler !== undefined && !registry.has(handler)) {
      log.error({ port, handler }, 'raw port: its handler does not exist; datagrams to the port are not answered');
    }
  }
}
