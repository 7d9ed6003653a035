import type { Command, CommandError, Reply } from '../../../shared/command.js';
import { type FinalCode, messageOf, type SupersimError } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import type { Log } from '../../base/log.js';
import type { Emit, Handler, HandlerContext } from '../../handlers/handler.js';
import { internalError, MAX_ERROR_MESSAGE_BYTES } from '../stats/command-log.js';
import { EXPIRED, isPast } from './deadline.js';

/** How often time-outs are looked for; one timer serves all commands. */
const SWEEP_INTERVAL_MS = 100;
/** How long a handler keeps its place after its time-out, to come to its end: a program's SIGTERM and SIGKILL included. */
const ABORT_GRACE_MS = 3000;
/** A command that takes longer is slow, and told so. */
const SLOW_MS = 1000;

/** Holds a command until its acceptance and its start are on the disk. */
export interface StartGate {
  /** Its key in the journal; undefined without a journal. */
  readonly key: Uint8Array | undefined;
  /** Called when the command is to run, or to wait for a slot. */
  accept(): void;
  /** Called when a slot is free; calls `run` when the command may run, or with the reason why it may not. */
  start(run: (error?: SupersimError) => void): void;
}

/** A command that is ready to run. */
export interface Task {
  readonly command: Command;
  readonly handler: Handler;
  readonly params: unknown;
  /** Size of the datagram that it came in. */
  readonly bytes: number;
  /** Without it the command runs at once. */
  readonly startGate?: StartGate | undefined;
  /** Called exactly once; never where the handler's effect ends the agent (`endsWith`) and the agent is ended. */
  done(reply: Reply): void;
  /** Called once when the command has run for a second. */
  readonly slow?: (() => void) | undefined;
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
  /** Told how long a handler ran until it ended, or its time was over. */
  readonly ran?: ((handler: string, milliseconds: number) => void) | undefined;
}

export interface Runner {
  /** Runs a task now, or when there is a place, or refuses it as busy. */
  submit(task: Task): void;
  /**
   * Ends, as cancelled, the tasks that wait for a place and have this to be done before.
   *
   * @returns whether there were any
   */
  cancel(isWanted: (task: Task) => boolean): boolean;
  readonly running: number;
  readonly waiting: number;
  /** From now on these bounds count; what is above them already stays. */
  limit(limits: RunLimits): void;
  /** Refuses what waits or is about to start, gives what runs up to `graceMs` to finish, then aborts it. */
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
  readonly begunAt: number;
  /** When it becomes slow; infinite once it has been told so. */
  slowAt: number;
  expiresAt: number;
  /** Its reply has gone, for it timed out or the agent stops; only its place is still taken. */
  expired: boolean;
}

/** Runs handlers: so many at once, each for its time at most, none able to block the others. */
export function createRunner(first: RunLimits, surroundings: Surroundings): Runner {
  let limits = first;
  const running = new Set<Run>();
  /** Tasks whose start is being written to the disk: they have their place already. */
  let starting = 0;
  let queue: Task[] = [];
  let queuedBytes = 0;
  let advancing = false;
  let sweeper: NodeJS.Timeout | undefined;
  let stopping = false;
  let idle: (() => void) | undefined;

  function submit(task: Task): void {
    if (stopping) refuse(task, STOPPING);
    else if (hasPlace()) {
      if (accept(task)) start(task);
    } else if (queue.length < limits.waiting && queuedBytes + task.bytes <= limits.waitingBytes) {
      if (!accept(task)) return;
      queue.push(task);
      queuedBytes += task.bytes;
    } else refuse(task, 'too many commands are running and waiting');
  }

  /** A mistake over the journal ends the command, which has not run. */
  function accept(task: Task): boolean {
    return contained(
      task,
      () => task.startGate?.accept(),
      (error) => tellEnd(task, internalError(error)),
    );
  }

  const hasPlace = () => running.size + starting < limits.running;

  function start(task: Task): void {
    const { startGate } = task;
    const { deadline } = task.command;
    if (deadline !== undefined && isPast(deadline, Date.now())) tellEnd(task, { error: EXPIRED });
    else if (startGate === undefined) runHandler(task);
    else {
      starting++;
      const settled = (work: () => void) => {
        starting--;
        work();
        startNext();
      };
      const run = (error?: SupersimError) =>
        settled(() => {
          if (error !== undefined) refuse(task, error.message);
          else if (stopping) refuse(task, STOPPING);
          else runHandler(task);
        });
      contained(
        task,
        () => startGate.start(run),
        (error) => settled(() => tellEnd(task, internalError(error))),
      );
    }
  }

  function runHandler(task: Task): void {
    const context = new RunContext(task.command, surroundings);
    const begunAt = performance.now();
    let returned: unknown;
    let pending: Promise<unknown> | undefined;
    try {
      returned = task.handler.run(task.params, context);
      // A promise stays the one it is; what merely has a `then` may do anything when that is called.
      if (isThenable(returned)) pending = Promise.resolve(returned);
    } catch (error) {
      tellTime(task, begunAt);
      tellEnd(task, failure(error));
      return;
    }
    if (pending === undefined) {
      tellTime(task, begunAt);
      tellEnd(task, { result: returned });
      return;
    }
    const begun = {
      task,
      context,
      begunAt,
      slowAt: task.slow === undefined ? Number.POSITIVE_INFINITY : begunAt + SLOW_MS,
      expiresAt: begunAt + task.handler.timeoutMs,
      expired: false,
    };
    running.add(begun);
    sweeper ??= setInterval(sweep, SWEEP_INTERVAL_MS);
    pending.then(
      (result) => finish(begun, { result }),
      (error) => finish(begun, failure(error)),
    );
  }

  const refuse = (task: Task, message: string): boolean => tellEnd(task, { error: { code: 'busy', message } });

  const tellEnd = (task: Task, reply: Reply): boolean => contained(task, () => task.done(reply));

  /** A mistake of the agent's own must not keep a place, nor the others from theirs. */
  function contained({ command }: Task, work: () => void, failed?: (error: unknown) => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      surroundings.log.error({ name: command.name, error: messageOf(error) }, 'internal error');
      failed?.(error);
      return false;
    }
  }

  function tellTime({ handler }: Task, begunAt: number): void {
    surroundings.ran?.(handler.name, performance.now() - begunAt);
  }

  function finish(run: Run, reply: Reply): void {
    if (!running.delete(run)) return;
    if (!run.expired) {
      tellTime(run.task, run.begunAt);
      tellEnd(run.task, reply);
    }
    startNext();
  }

  function startNext(): void {
    // One that ends at once comes back here, and the loop that goes on already sees to the next.
    if (advancing) return;
    advancing = true;
    while (hasPlace()) {
      const task = queue.shift();
      if (task === undefined) break;
      queuedBytes -= task.bytes;
      start(task);
    }
    advancing = false;
    if (isIdle()) idle?.();
  }

  const isIdle = () => running.size + starting === 0;

  function sweep(): void {
    const now = performance.now();
    for (const run of running) {
      if (now >= run.slowAt) {
        run.slowAt = Number.POSITIVE_INFINITY;
        contained(run.task, () => run.task.slow?.());
      }
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
    tellTime(run.task, run.begunAt);
    tellEnd(run.task, { error: { code, message } });
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
    cancel(isWanted) {
      const wanted = queue.filter(isWanted);
      queue = queue.filter((task) => !wanted.includes(task));
      for (const task of wanted) {
        queuedBytes -= task.bytes;
        tellEnd(task, { error: CANCELLED });
      }
      return wanted.length > 0;
    },
    get running() {
      return running.size + starting;
    },
    get waiting() {
      return queue.length;
    },
    limit(next) {
      limits = next;
      startNext();
    },
    async stop(graceMs) {
      stopping = true;
      for (const task of queue.splice(0)) refuse(task, STOPPING);
      // What it was to do is being done: the journal knows, and the next start tells.
      for (const run of running) if (run.task.handler.endsWith !== undefined) running.delete(run);
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
    if (isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const CANCELLED: CommandError = { code: 'cancelled', message: 'it was cancelled at the device' };

const STOPPING = 'the agent is stopping';

function failure(error: unknown): { error: CommandError } {
  return { error: { code: 'handler-failed', message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) } };
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
