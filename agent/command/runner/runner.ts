import type { CommandError, Reply } from '../../../shared/command.js';
import { messageOf, type SupersimError } from '../../../shared/errors.js';
import { EXPIRED, isPast } from './deadline.js';
import { internalError } from './result.js';
import { ABORT_GRACE_MS, createRunningHandlers, type RunnerContext } from './running-handlers.js';
import type { Task } from './task.js';

export interface RunLimits {
  readonly running: number;
  readonly waiting: number;
  readonly waitingBytes: number;
}

export interface Runner {
  /** Runs a task now, or when a slot is free, or refuses it as busy. */
  submit(task: Task): void;
  /**
   * Settles waiting tasks as cancelled.
   *
   * @returns whether there were any
   */
  cancel(isWanted: (task: Task) => boolean): boolean;
  readonly running: number;
  readonly waiting: number;
  /** Whether tasks wait although a slot is free: a fault, which a restart ends. */
  readonly isStuck: boolean;
  /** Applies other limits; tasks above them stay. */
  limit(limits: RunLimits): void;
  /** Refuses waiting tasks and those about to start, gives running ones up to `graceMs` to finish, then aborts them. */
  stop(graceMs: number): Promise<void>;
}

/** Runs tasks: a limited number at once, each for its timeout at most, none able to block the others. */
export function createRunner(first: RunLimits, context: RunnerContext): Runner {
  let limits = first;
  const handlers = createRunningHandlers({ context, settle, released: startNext, contained });
  /** Tasks whose start is being written to the disk: they have a slot already. */
  let starting = 0;
  let queue: Task[] = [];
  let queuedBytes = 0;
  let advancing = false;
  let stopping = false;
  let idle: (() => void) | undefined;

  function submit(task: Task): void {
    if (stopping) refuse(task, STOPPING);
    else if (hasSlot()) {
      if (accept(task)) start(task);
    } else if (queue.length < limits.waiting && queuedBytes + task.bytes <= limits.waitingBytes) {
      if (!accept(task)) return;
      queue.push(task);
      queuedBytes += task.bytes;
    } else refuse(task, 'too many commands are running and waiting');
  }

  /** @returns false when the journal failed; the task is settled then, and has not run */
  function accept(task: Task): boolean {
    return contained(
      task,
      () => task.startGate?.accept(),
      (error) => settle(task, internalError(error)),
    );
  }

  const hasSlot = () => handlers.size + starting < limits.running;

  function start(task: Task): void {
    const { startGate } = task;
    const { deadline } = task.command;
    if (deadline !== undefined && isPast(deadline, Date.now())) settle(task, { error: EXPIRED });
    else if (startGate === undefined) handlers.start(task);
    else {
      starting++;
      let isPassed = false;
      const passed = (work: () => void) => {
        // A gate that throws after it has let the task run must not count it twice.
        if (isPassed) return;
        isPassed = true;
        starting--;
        work();
        startNext();
      };
      const run = (error?: SupersimError) =>
        passed(() => {
          if (error !== undefined) refuse(task, error.message);
          else if (stopping) refuse(task, STOPPING);
          else handlers.start(task);
        });
      contained(
        task,
        () => startGate.start(run),
        (error) => passed(() => settle(task, internalError(error))),
      );
    }
  }

  function refuse(task: Task, message: string): void {
    settle(task, { error: { code: 'busy', message } });
  }

  function settle(task: Task, reply: Reply): void {
    contained(task, () => task.done(reply));
  }

  /** A mistake of the agent's own must not keep a slot, nor keep other tasks from theirs. */
  function contained({ command }: Task, work: () => void, failed?: (error: unknown) => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      context.log.error({ name: command.name, error: messageOf(error) }, 'internal error');
      failed?.(error);
      return false;
    }
  }

  function startNext(): void {
    // A task that ends at once calls this again; the loop that is under way already starts the next.
    if (advancing) return;
    advancing = true;
    while (hasSlot()) {
      const task = queue.shift();
      if (task === undefined) break;
      queuedBytes -= task.bytes;
      contained(
        task,
        () => start(task),
        (error) => settle(task, internalError(error)),
      );
    }
    advancing = false;
    if (isIdle()) idle?.();
  }

  const isIdle = () => handlers.size + starting === 0;

  function becomesIdle(withinMs: number): Promise<void> {
    if (isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    submit,
    cancel(isWanted) {
      const wanted = queue.filter(isWanted);
      queue = queue.filter((task) => !wanted.includes(task));
      for (const task of wanted) {
        queuedBytes -= task.bytes;
        settle(task, { error: CANCELLED });
      }
      return wanted.length > 0;
    },
    get running() {
      return handlers.size + starting;
    },
    get waiting() {
      return queue.length;
    },
    get isStuck() {
      return queue.length > 0 && hasSlot();
    },
    limit(next) {
      limits = next;
      startNext();
    },
    async stop(graceMs) {
      stopping = true;
      for (const task of queue.splice(0)) refuse(task, STOPPING);
      handlers.forgetEnding();
      await becomesIdle(graceMs);
      handlers.abort('it was ended because the agent stops');
      await becomesIdle(ABORT_GRACE_MS);
      handlers.stop();
    },
  };
}

const CANCELLED: CommandError = { code: 'cancelled', message: 'it was cancelled at the device' };

const STOPPING = 'the agent is stopping';
