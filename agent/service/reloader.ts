import { isSupersimError, messageOf, SupersimError } from '../../shared/errors.js';
import type { Agent } from '../agent.js';
import type { Log } from '../base/log.js';
import type { Config } from '../config/schema.js';
import type { Reloaded } from '../reload.js';

export interface ReloaderOptions {
  readonly agent: Pick<Agent, 'reload'>;
  /** The configuration as it is written now. @throws SupersimError */
  readonly read: () => Promise<Config>;
  /** The agent has taken it up. */
  readonly taken: (config: Config) => void;
  readonly log: Log;
}

/**
 * Has an agent take up its configuration as it is now, and logs what came of it. One at a time: whoever asks while one
 * waits for its turn, and so has not read the file yet, shares that one.
 *
 * @throws (rejects) SupersimError: then the agent goes on as it was
 */
export function createReloader({ agent, read, taken, log }: ReloaderOptions): () => Promise<Reloaded> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Reloaded> | undefined;

  async function reload(): Promise<Reloaded> {
    waiting = undefined;
    try {
      const config = await read();
      const reloaded = await agent.reload(config);
      taken(config);
      const level = reloaded.needsRestart.length === 0 ? 'info' : 'warn';
      log[level]({ ...reloaded }, 'configuration reloaded');
      return reloaded;
    } catch (error) {
      const problem = withComfort(error);
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

function withComfort(error: unknown): unknown {
  if (!isSupersimError(error) || error.code === 'busy') return error;
  const remedy = `${error.remedy} The agent goes on with the configuration that it has.`;
  return new SupersimError(error.code, error.message, { remedy, cause: error });
}
