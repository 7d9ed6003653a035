import type { Command, CommandError, Reply } from '../../../shared/command.js';
import { type FinalCode, messageOf } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import type { Log } from '../../base/log.js';
import type { Emit, HandlerContext } from '../../handlers/handler.js';
import { NotStartedError } from '../../handlers/not-started.js';
import { MAX_ERROR_MESSAGE_BYTES } from './result.js';
import type { Task } from './task.js';

/** Interval between checks of timeouts; one timer serves all commands. */
const SWEEP_INTERVAL_MS = 100;
/** How long a handler keeps its slot after its timeout: enough for a program's SIGTERM and SIGKILL. */
export const ABORT_GRACE_MS = 3000;
/** A command that runs longer is slow, and told so. */
const SLOW_MS = 1000;

/** What all handlers share. */
export interface RunnerContext {
  readonly deviceId: string;
  readonly log: Log;
  readonly emit: Emit;
  /** Called with the time that a handler ran, until it ended or timed out. */
  readonly ran?: ((handler: string, milliseconds: number) => void) | undefined;
  /** Called when a handler's program or service could not be started. */
  readonly notStarted?: ((handler: string, error: NotStartedError) => void) | undefined;
}

/** A handler's context; the AbortController is made only when a handler asks for the signal. */
class RunContext implements HandlerContext {
  #controller: AbortController | undefined;
  #aborted: Error | undefined;
  readonly command: Command;
  readonly #shared: RunnerContext;

  constructor(command: Command, shared: RunnerContext) {
    this.command = command;
    this.#shared = shared;
  }

  get deviceId(): string {
    return this.#shared.deviceId;
  }

  get log(): Log {
    return this.#shared.log;
  }

  get emit(): Emit {
    return this.#shared.emit;
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

/** A handler that has not ended. */
interface Run {
  readonly task: Task;
  readonly context: RunContext;
  readonly startedAt: number;
  /** When the command becomes slow; infinite once it has been told so. */
  slowAt: number;
  expiresAt: number;
  /** Whether its reply has been given, as it timed out or the agent stops; only its slot is still taken. */
  expired: boolean;
}

export interface RunningHandlersOptions {
  readonly context: RunnerContext;
  /** Called with the reply of a task. */
  readonly settle: (task: Task, reply: Reply) => void;
  /** Called when a slot is free again. */
  readonly released: () => void;
  /** Calls `work` and logs what it throws. */
  readonly contained: (task: Task, work: () => void) => void;
}

/** Runs handlers, each until it ends or times out. A handler that ignores its abort loses its slot after a grace. */
export function createRunningHandlers({ context, settle, released, contained }: RunningHandlersOptions) {
  const running = new Set<Run>();
  let sweeper: NodeJS.Timeout | undefined;

  function start(task: Task): void {
    const handlerContext = new RunContext(task.command, context);
    const startedAt = performance.now();
    let refusal: CommandError | undefined;
    let result: unknown;
    let isPending = false;
    try {
      refusal = task.mayRun?.();
      if (refusal === undefined) {
        result = task.handler.run(task.params, handlerContext);
        isPending = isThenable(result);
      }
    } catch (error) {
      measure(task, startedAt);
      settle(task, failure(error));
      return;
    }
    if (refusal !== undefined) {
      settle(task, { error: refusal });
      return;
    }
    if (!isPending) {
      measure(task, startedAt);
      settle(task, { result });
      return;
    }
    const run = {
      task,
      context: handlerContext,
      startedAt,
      slowAt: task.slow === undefined ? Number.POSITIVE_INFINITY : startedAt + SLOW_MS,
      expiresAt: startedAt + task.handler.timeoutMs,
      expired: false,
    };
    running.add(run);
    sweeper ??= setInterval(sweep, SWEEP_INTERVAL_MS);
    void finishWhenSettled(run, result);
  }

  /** Uses `await`, which contains whatever the `then` of a handler's own object does. */
  async function finishWhenSettled(run: Run, result: unknown): Promise<void> {
    let reply: Reply;
    let notStarted: NotStartedError | undefined;
    try {
      reply = { result: await result };
    } catch (error) {
      reply = failure(error);
      if (NotStartedError.is(error)) notStarted = error;
    }
    finish(run, reply, notStarted);
  }

  function measure({ handler }: Task, startedAt: number): void {
    context.ran?.(handler.name, performance.now() - startedAt);
  }

  function finish(run: Run, reply: Reply, notStarted: NotStartedError | undefined): void {
    if (!running.delete(run)) return;
    if (!run.expired) {
      if (notStarted === undefined) measure(run.task, run.startedAt);
      else context.notStarted?.(run.task.handler.name, notStarted);
      settle(run.task, reply);
    }
    released();
  }

  function sweep(): void {
    const now = performance.now();
    for (const run of running) {
      if (now >= run.slowAt) {
        run.slowAt = Number.POSITIVE_INFINITY;
        contained(run.task, () => run.task.slow?.());
      }
      if (now < run.expiresAt) continue;
      if (run.expired) release(run);
      else expire(run, 'handler-timeout', `it did not finish in ${run.task.handler.timeoutMs / 1000} s`);
    }
    if (running.size > 0) return;
    clearInterval(sweeper);
    sweeper = undefined;
  }

  /** Settles a command whose handler still runs, and aborts the handler. */
  function expire(run: Run, code: FinalCode, message: string): void {
    run.expired = true;
    run.expiresAt = performance.now() + ABORT_GRACE_MS;
    measure(run.task, run.startedAt);
    settle(run.task, { error: { code, message } });
    run.context.abort(new Error(message));
  }

  /** Releases the slot of a handler that ignores its abort. */
  function release(run: Run): void {
    context.log.warn({ name: run.task.command.name }, 'handler still running after its timeout; slot released');
    running.delete(run);
    released();
  }

  return {
    start,
    get size() {
      return running.size;
    },
    /** How many of them are of one source address. */
    heldBy(holder: string): number {
      let held = 0;
      for (const { task } of running) if (task.holder === holder) held++;
      return held;
    },
    /** Forgets handlers whose effect ends the agent: the journal has them, and the next start settles them. */
    forgetEnding(): void {
      for (const run of running) if (run.task.handler.endsWith !== undefined) running.delete(run);
    },
    /** Settles and aborts everything that still runs. */
    abort(message: string): void {
      for (const run of running) if (!run.expired) expire(run, 'handler-failed', message);
    },
    stop(): void {
      clearInterval(sweeper);
    },
  };
}

function failure(error: unknown): { error: CommandError } {
  const code = NotStartedError.is(error) ? error.code : 'handler-failed';
  return { error: { code, message: utf8Head(messageOf(error), MAX_ERROR_MESSAGE_BYTES) } };
}

const isThenable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
