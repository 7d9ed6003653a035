import type { Command, CommandError, Reply } from '../../shared/command.js';
import { type FinalCode, messageOf } from '../../shared/errors.js';
import { utf8Head } from '../../shared/format/cut.js';
import type { Emit, Handler, HandlerContext } from '../handlers/handler.js';
import type { Log } from '../log.js';
import { EXPIRED, isPast } from './deadline.js';

/** How often time-outs are looked for; one timer serves all commands. */
const SWEEP_INTERVAL_MS = 100;
/** How long a handler keeps its place after its time-out, to come to its end: a program's SIGTERM and SIGKILL included. */
const ABORT_GRACE_MS = 3000;
const MAX_ERROR_MESSAGE_BYTES = 1000;

/** A command that is ready to run. */
export interface Task {
  readonly command: Command;
  readonly handler: Handler;
  readonly params: unknown;
  /** Size of the datagram that it came in. */
  readonly bytes: number;
  /** Called exactly once. */
  done(reply: Reply): void;
}

export interface RunLimits {
  readonly running: number;
  readonly waiting: number;
  readonly waitingBytes: number;
}

/** What all commands share. */
export interface Surroundings {
  readonly deviceId: string;
  readonly log: Log;
  readonly emit: Emit;
}

export interface Runner {
  /** Runs a task now, or when there is a place, or refuses it as busy. */
  submit(task: Task): void;
  readonly running: number;
  readonly waiting: number;
  /** Refuses what waits, gives what runs up to `graceMs` to finish, then aborts it. */
  stop(graceMs: number): Promise<void>;
}

/** A handler's context; the AbortController is made only when a handler asks for the signal. */
class RunContext implements HandlerContext {
  #controller: AbortController | undefined;
  #aborted: Error | undefined;
  readonly command: Command;
  readonly #surroundings: Surroundings;

  constructor(command: Command, surroundings: Surroundings) {
    this.command = command;
    this.#surroundings = surroundings;
  }

  get deviceId(): string {
    return this.#surroundings.deviceId;
  }

  get log(): Log {
    return this.#surroundings.log;
  }

  get emit(): Emit {
    return this.#surroundings.emit;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#aborted = reason;
    this.#controller?.abort(reason);
  }
}

/** A command whose handler has not come to its end. */
interface Run {
  readonly task: Task;
  readonly context: RunContext;
  expiresAt: number;
  /** Its reply has gone, for it timed out or the agent stops; only its place is still taken. */
  expired: boolean;
}

/** Runs handlers: so many at once, each for its time at most, none able to block the others. */
export function createRunner(limits: RunLimits, surroundings: Surroundings): Runner {
  const running = new Set<Run>();
  const queue: Task[] = [];
  let queuedBytes = 0;
  let sweeper: NodeJS.Timeout | undefined;
  let stopping = false;
  let idle: (() => void) | undefined;

  function submit(task: Task): void {
    if (stopping) refuse(task, 'the agent is stopping');
    else if (running.size < limits.running) start(task);
    else if (queue.length < limits.waiting && queuedBytes + task.bytes <= limits.waitingBytes) {
      queue.push(task);
      queuedBytes += task.bytes;
    } else refuse(task, 'too many commands are running and waiting');
  }

  function start(task: Task): void {
    const { deadline } = task.command;
    if (deadline !== undefined && isPast(deadline, Date.now())) {
      task.done({ error: EXPIRED });
      return;
    }
    const context = new RunContext(task.command, surroundings);
    let returned: unknown;
    let pending: Promise<unknown> | undefined;
    try {
      returned = task.handler.run(task.params, context);
      // A promise stays the one it is; what merely has a `then` may do anything when that is called.
      if (isThenable(returned)) pending = Promise.resolve(returned);
    } catch (error) {
      task.done(failure(error));
      return;
    }
    if (pending === undefined) {
      task.done({ result: returned });
      return;
    }
    const run = { task, context, expiresAt: performance.now() + task.handler.timeoutMs, expired: false };
    running.add(run);
    sweeper ??= setInterval(sweep, SWEEP_INTERVAL_MS);
    pending.then(
      (result) => finish(run, { result }),
      (error) => finish(run, failure(error)),
    );
  }

  function finish(run: Run, reply: Reply): void {
    if (!running.delete(run)) return;
    if (!run.expired) run.task.done(reply);
    startNext();
  }

  function startNext(): void {
    while (running.size < limits.running) {
      const task = queue.shift();
      if (task === undefined) break;
      queuedBytes -= task.bytes;
      start(task);
    }
    if (running.size === 0) idle?.();
  }

  function sweep(): void {
    const now = performance.now();
    for (const run of running) {
      if (now < run.expiresAt) continue;
      if (run.expired) abandon(run);
      else end(run, 'handler-timeout', `it did not finish in ${run.task.handler.timeoutMs / 1000} s`);
    }
    if (running.size > 0) return;
    clearInterval(sweeper);
    sweeper = undefined;
  }

  /** Answers for a handler and tells it to come to its end. */
  function end(run: Run, code: FinalCode, message: string): void {
    run.expired = true;
    run.expiresAt = performance.now() + ABORT_GRACE_MS;
    run.task.done({ error: { code, message } });
    run.context.abort(new Error(message));
  }

  /** Frees the place of a handler that does not end although it was told to. */
  function abandon(run: Run): void {
    surroundings.log.warn(
      { name: run.task.command.name },
      'a handler goes on after its time-out; its place is given away',
    );
    running.delete(run);
    startNext();
  }

  return {
    submit,
    get running() {
      return running.size;
    },
    get waiting() {
      return queue.length;
    },
    async stop(graceMs) {
      stopping = true;
      for (const task of queue.splice(0)) refuse(task, 'the agent is stopping');
      await settled(graceMs);
      for (const run of running) {
        if (!run.expired) end(run, 'handler-failed', 'it was ended because the agent stops');
      }
      await settled(ABORT_GRACE_MS);
      clearInterval(sweeper);
    },
  };

  /** Waits until nothing runs, for a while at most. */
  function settled(withinMs: number): Promise<void> {
    if (running.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const refuse = (task: Task, message: string): void => task.done({ error: { code: 'busy', message } });

function failure(error: unknown): { error: CommandError } {
  return { error: { code: 'handler-failed', message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) } };
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
