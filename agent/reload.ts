import { SupersimError } from '../shared/errors.js';
import { importLater } from './base/shortage.js';
import type { Rates } from './command/peers/rates.js';
import type { Pipeline } from './command/pipeline.js';
import type { Runner } from './command/runner/runner.js';
import type { Meters } from './command/stats/meters.js';
import { type Changes, compareConfigs, withoutRestart } from './config/changes.js';
import type { Config } from './config/schema.js';
import type { HealthSources } from './handlers/builtin/health.js';
import type { HandlerDefinition } from './handlers/handler.js';
import { loadAllHandlers } from './handlers/load.js';
import { type Registry, replaceHandlers } from './handlers/registry.js';
import type { LoadedKeys } from './security/key-folder.js';
import type { Security } from './security/security.js';
import type { Links } from './transport/links/links.js';

/** The result of a reload. */
export interface Reloaded extends Changes {
  /** Modules that were loaded again, as they or files that they import have changed. */
  readonly modules: readonly string[];
}

/** The parts of a running agent that a reload changes. */
export interface Live {
  /** The configuration in force. */
  readonly current: { config: Config };
  readonly registry: Registry;
  readonly transport: Pick<Links, 'change'>;
  readonly pipeline: Pick<Pipeline, 'change'>;
  readonly runner: Pick<Runner, 'limit'>;
  readonly rates: Pick<Rates, 'change'>;
  readonly meters: Pick<Meters, 'know'>;
  /** The embedding program's. */
  readonly handlers: readonly HandlerDefinition[];
  readonly sources: HealthSources;
  readonly security: Pick<Security, 'prepare' | 'change'>;
  readonly isStopped: () => boolean;
}

/** The setting that is named when the files in that folder have changed. */
const KEYS = 'security.keys';

/** Applies a configuration. */
export type ApplyConfig = (next: Config) => Promise<Reloaded>;

/** Applies configurations one after the other, each as a whole or not at all. */
export function createReload(live: Live): ApplyConfig {
  const { current, transport, handlers, sources } = live;
  let last: Promise<unknown> = Promise.resolve();
  let editions: ReadonlyMap<string, number> | undefined;

  async function take(next: Config): Promise<Reloaded> {
    const changes = compareConfigs(current.config, next);
    const config = withoutRestart(current.config, next);
    const before = editions ?? (await moduleEditions(current.config));
    editions = before;
    const keys = await live.security.prepare(config);
    const [problem] = keys.problems;
    if (problem !== undefined) throw problem;
    const registry = await loadAllHandlers(config, handlers, sources);
    checkRunning();
    await transport.change(config);
    checkRunning();
    const haveKeysChanged = apply(config, registry, keys);
    const now = await moduleEditions(config);
    editions = now;
    const isNewer = (path: string) => before.has(path) && before.get(path) !== now.get(path);
    const changed = haveKeysChanged ? [...new Set([...changes.changed, KEYS])] : changes.changed;
    return { ...changes, changed, modules: config.modules.filter(isNewer) };
  }

  /** Runs between two datagrams; nothing in it can fail. @returns whether the keys have changed */
  function apply(config: Config, registry: Registry, keys: LoadedKeys): boolean {
    current.config = config;
    const haveKeysChanged = live.security.change(config, keys);
    replaceHandlers(live.registry, registry);
    live.meters.know(registry.keys());
    live.pipeline.change(config);
    live.runner.limit(config.limits);
    live.rates.change(config.limits);
    return haveKeysChanged;
  }

  function checkRunning(): void {
    if (live.isStopped()) throw notRunning();
  }

  return (next) => {
    const taken = last.then(() => take(next));
    last = taken.catch(() => undefined);
    return taken;
  };
}

export const notRunning = () =>
  new SupersimError('busy', 'the agent does not run', { remedy: 'Start it: it reads its configuration then.' });

/** Returns the editions in which modules were loaded. The code for modules is loaded only when there are any. */
async function moduleEditions({ modules }: Config): Promise<ReadonlyMap<string, number>> {
  if (modules.length === 0) return new Map();
  const { loadedEditions } = await importLater(() => import('./handlers/module/module.js'));
  return loadedEditions();
}
