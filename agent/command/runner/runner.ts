import type { CommandError, Reply } from '../../../shared/command.js';
import { messageOf, type SupersimError } from '../../../shared/errors.js';
import { isRoomFor } from '../../base/shares.js';
import { EXPIRED, isPast } from '../../handlers/not-started.js';
import { internalError } from './result.js';
import { ABORT_GRACE_MS, createRunningHandlers, type RunnerContext } from './running-handlers.js';
import type { RunLimits, Task } from './task.js';
import { createWaitingTasks } from './waiting-tasks.js';

export interface Runner {
  /** Runs a task now, or when a slot is free, or refuses it as busy. */
  submit(task: Task): void;
  /**
   * Settles waiting tasks as cancelled.
   *
   * @returns whether there were any
   */
  cancel(isWanted: (task: Task) => boolean): boolean;
  /** Handlers that run. */
  readonly running: number;
  /** Commands that wait for a place, or for the journal. */
  readonly waiting: number;
  /** Whether tasks wait although a place is free: a fault, which a restart ends. */
  readonly isStuck: boolean;
  /** Applies other limits; tasks above them stay. */
  limit(limits: RunLimits): void;
  /**
   * Refuses waiting tasks, gives running ones up to `graceMs` to finish, then aborts them. Tasks whose start is still
   * being written are not waited for: they are refused as soon as it is, however long the disk takes.
   */
  stop(graceMs: number): Promise<void>;
}

/** Runs that take so long on the average are slow. */
const SLOW_RUN_MS = 1000;
/** Weight of the last run in the mean duration. */
const MEAN_WEIGHT = 1 / 8;
/** So long may a task wait for a place after its start was written. */
const MAX_WAIT_MS = 100;
/** Most tasks whose start is being written, or which wait for a place then. */
const MAX_AHEAD = 1024;

/** Runs tasks: a limited number at once, each for its timeout at most, none able to block the others. */
export function createRunner(first: RunLimits, context: RunnerContext): Runner {
  let limits = first;
  /** Mean duration of the last runs, in milliseconds; at first they are taken to be slow. */
  let meanRunMs = SLOW_RUN_MS;
  const handlers = createRunningHandlers({
    context: {
      ...context,
      ran(handler, ms) {
        meanRunMs += (ms - meanRunMs) * MEAN_WEIGHT;
        context.ran?.(handler, ms);
      },
    },
    settle,
    released: startNext,
    contained,
  });
  /** Tasks whose start is being written to the disk. */
  let starting = 0;
  /** Tasks whose start is on the disk, and which wait for a place. */
  const ready: Task[] = [];
  /** Both, by source address. */
  const aheadOf = new Map<string, number>();
  const queue = createWaitingTasks();
  let advancing = false;
  let stopping = false;
  let idle: (() => void) | undefined;

  function submit(task: Task): void {
    if (stopping) refuse(task, STOPPING);
    else if ((task.startGate === undefined || !queue.has(task.holder)) && mayStart(task)) start(task);
    else if (queue.push(task, limits)) accept(task);
    else refuse(task, 'too many commands are running and waiting');
  }

  /** When the journal fails, the task is settled, and does not run. */
  function accept(task: Task): void {
    contained(
      task,
      () => task.startGate?.accept(),
      (error) => {
        queue.remove((one) => one === task);
        settle(task, internalError(error));
      },
    );
  }

  /** Each source address has its share of the places, so that handlers that hang keep no other from them. */
  const hasPlace = ({ holder }: Task) => isRoomFor(handlers.heldBy(holder), handlers.size, limits.running);

  /**
   * While its start is written to the disk, a task holds no place; so more are started than there are places, as many as
   * will hardly have to wait for one. After a crash they are interrupted, and not run as those that wait in the queue.
   */
  function mayStart(task: Task): boolean {
    if (!hasPlace(task)) return false;
    if (task.startGate === undefined) return true;
    const ahead = Math.min(MAX_AHEAD, Math.floor((limits.running * MAX_WAIT_MS) / Math.max(meanRunMs, 0.001)));
    const held = handlers.heldBy(task.holder) + (aheadOf.get(task.holder) ?? 0);
    return isRoomFor(held, handlers.size + starting + ready.length, Math.max(limits.running, ahead));
  }

  /** Counts the tasks of a source address whose start is being written, or on the disk. */
  function countAhead({ holder }: Task, more: 1 | -1): void {
    const count = (aheadOf.get(holder) ?? 0) + more;
    if (count === 0) aheadOf.delete(holder);
    else aheadOf.set(holder, count);
  }

  function run(task: Task): void {
    const { deadline } = task.command;
    if (deadline !== undefined && isPast(deadline, Date.now())) settle(task, { error: EXPIRED });
    else handlers.start(task);
  }

  function start(task: Task): void {
    const { startGate } = task;
    const { deadline } = task.command;
    if (deadline !== undefined && isPast(deadline, Date.now())) settle(task, { error: EXPIRED });
    else if (startGate === undefined) handlers.start(task);
    else {
      starting++;
      countAhead(task, 1);
      let isPassed = false;
      const passed = (work: () => void) => {
        // A gate that throws after it has let the task run must not count it twice.
        if (isPassed) return;
        isPassed = true;
        starting--;
        work();
        startNext();
      };
      const started = (error?: SupersimError) =>
        passed(() => {
          if (error === undefined && !stopping && (ready.length > 0 || !hasPlace(task))) {
            ready.push(task);
            return;
          }
          countAhead(task, -1);
          if (error !== undefined) refuse(task, error.message);
          else if (stopping) refuse(task, STOPPING);
          else run(task);
        });
      contained(
        task,
        () => startGate.start(started),
        (error) =>
          passed(() => {
            countAhead(task, -1);
            settle(task, internalError(error));
          }),
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
    for (let task = takeNext(); task !== undefined; task = takeNext()) {
      const next = task;
      contained(
        next.task,
        () => (next.isReady ? run(next.task) : start(next.task)),
        (error) => settle(next.task, internalError(error)),
      );
    }
    advancing = false;
    if (isIdle()) idle?.();
  }

  /** Takes the next task that can go on: first those whose start is on the disk. */
  function takeNext(): { readonly task: Task; readonly isReady: boolean } | undefined {
    const at = handlers.size < limits.running ? ready.findIndex(hasPlace) : -1;
    const [first] = at < 0 ? [] : ready.splice(at, 1);
    if (first !== undefined) {
      countAhead(first, -1);
      return { task: first, isReady: true };
    }
    const task = handlers.size < limits.running ? queue.take(mayStart) : undefined;
    return task && { task, isReady: false };
  }

  const isIdle = () => handlers.size === 0;

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
      const wanted = queue.remove(isWanted);
      for (const task of wanted) settle(task, { error: CANCELLED });
      return wanted.length > 0;
    },
    get running() {
      return handlers.size;
    },
    get waiting() {
      return starting + ready.length + queue.length;
    },
    get isStuck() {
      return ready.some(hasPlace) || queue.some(mayStart);
    },
    limit(next) {
      limits = next;
      startNext();
    },
    async stop(graceMs) {
      stopping = true;
      for (const task of [...ready.splice(0), ...queue.remove(() => true)]) refuse(task, STOPPING);
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
