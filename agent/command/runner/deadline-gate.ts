import type { Verdict } from './deadline.js';
import { internalError } from './result.js';
import type { Runner } from './runner.js';
import type { Task } from './task.js';

/** Submits a task to the runner, or settles it when its deadline forbids it. */
export type SubmitCommand = (task: Task) => void;

/** Makes the gate before the runner, which judges the deadline of a command that has one. */
export function createDeadlineGate(
  runner: Pick<Runner, 'submit'>,
  judge: (deadline: number) => Promise<Verdict>,
): SubmitCommand {
  return (task) => {
    const { deadline } = task.command;
    if (deadline === undefined) runner.submit(task);
    else {
      judge(deadline)
        .then((verdict) => follow(task, verdict))
        .catch((error) => task.done(internalError(error)));
    }
  };

  function follow(task: Task, verdict: Verdict): void {
    if (!verdict.run) task.done({ error: verdict.error });
    else if (verdict.clockSynchronized) runner.submit(task);
    else {
      // Without a synchronised clock nothing can tell whether it passes while the command waits.
      const command = { ...task.command, deadline: undefined };
      const done: Task['done'] = (reply) =>
        task.done('result' in reply ? { ...reply, clockSynchronized: false } : reply);
      runner.submit({ ...task, command, done });
    }
  }
}
