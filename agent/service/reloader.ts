import { isSupersimError, messageOf, SupersimError } from '../../shared/errors.js';
import type { Log } from '../base/log.js';
import type { Config } from '../config/schema.js';
import type { Reloaded } from '../reload.js';

export interface ReloaderOptions {
  readonly agent: { reload(config: Config): Promise<Reloaded> };
  /** Reads the configuration as it is written now. @throws (rejects) SupersimError */
  readonly read: () => Promise<Config>;
  /** Is called once the agent uses the configuration. */
  readonly onReloaded: (config: Config) => void;
  readonly log: Log;
}

/**
 * Makes a function that reloads the agent's configuration and logs the result. Reloads run one at a time; a call while
 * another reload still waits shares that one, as it has not read the file yet.
 *
 * @throws (rejects) SupersimError; the agent then keeps its configuration
 */
export function createReloader({ agent, read, onReloaded, log }: ReloaderOptions): () => Promise<Reloaded> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Reloaded> | undefined;

  async function reload(): Promise<Reloaded> {
    waiting = undefined;
    try {
      const config = await read();
      const reloaded = await agent.reload(config);
      onReloaded(config);
      const level = reloaded.needsRestart.length === 0 ? 'info' : 'warn';
      log[level]({ ...reloaded }, 'configuration reloaded');
      return reloaded;
    } catch (error) {
      const problem = explainFailure(error);
      const { code, remedy } = isSupersimError(problem) ? problem : {};
      log.error({ code, error: messageOf(problem), remedy }, 'configuration not reloaded');
      throw problem;
    }
  }

  return () => {
    waiting ??= last.then(reload);
    last = waiting.catch(() => undefined);
    return waiting;
  };
}

function explainFailure(error: unknown): unknown {
  if (!isSupersimError(error) || error.code === 'busy') return error;
  const remedy = `${error.remedy} The agent keeps its present configuration.`;
  return new SupersimError(error.code, error.message, { remedy, cause: error });
}
