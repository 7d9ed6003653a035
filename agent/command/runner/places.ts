import { createRunner, type Runner } from './runner.js';
import type { RunnerContext } from './running-handlers.js';
import type { RunLimits, Task } from './task.js';

/** Of each built-in safe command. They cost little: `health` looks once for all that wait for it, others end at once. */
const OWN_LIMITS: RunLimits = { running: 256, waiting: 256, waitingBytes: 262_144 };

/**
 * Runs tasks: each built-in safe command in places of its own, so that handlers that hang and full queues keep nobody
 * from it, and all others in the configured ones.
 */
export function createPlaces(limits: RunLimits, context: RunnerContext): Runner {
  const configured = createRunner(limits, context);
  const own = new Map<string, Runner>();
  let stopping = false;
  const all = () => [configured, ...own.values()];

  function runnerOf({ handler: { name, hasOwnPlaces } }: Task): Runner {
    if (hasOwnPlaces !== true) return configured;
    const known = own.get(name);
    if (known !== undefined) return known;
    const made = createRunner(OWN_LIMITS, context);
    own.set(name, made);
    if (stopping) void made.stop(0);
    return made;
  }

  return {
    submit: (task) => runnerOf(task).submit(task),
    // Only what is journalled can be cancelled, and no safe command is.
    cancel: configured.cancel,
    get running() {
      return all().reduce((sum, { running }) => sum + running, 0);
    },
    get waiting() {
      return all().reduce((sum, { waiting }) => sum + waiting, 0);
    },
    get isStuck() {
      return all().some(({ isStuck }) => isStuck);
    },
    limit: configured.limit,
    async stop(graceMs) {
      stopping = true;
      await Promise.all(all().map((runner) => runner.stop(graceMs)));
    },
  };
}
