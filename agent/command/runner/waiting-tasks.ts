import { isRoomFor } from '../../base/shares.js';
import type { RunLimits, Task } from './task.js';

/** The tasks of one source address, in the order in which they came. */
interface Line {
  tasks: Task[];
  bytes: number;
}

/**
 * Tasks that wait for a place. Each source address has its share of the queue, and the addresses take turns: one that
 * sends much delays its own tasks only.
 */
export function createWaitingTasks() {
  /** By source address; the next one's turn first. */
  const lines = new Map<string, Line>();
  let length = 0;
  let bytes = 0;

  /** @returns false when there is no room for it */
  function push(task: Task, { waiting, waitingBytes }: RunLimits): boolean {
    const line = lines.get(task.holder) ?? { tasks: [], bytes: 0 };
    if (!isRoomFor(line.tasks.length, length, waiting)) return false;
    if (bytes + task.bytes > waitingBytes || !isRoomFor(line.bytes, bytes, waitingBytes)) return false;
    lines.set(task.holder, line);
    line.tasks.push(task);
    change(line, 1, task.bytes);
    return true;
  }

  function change(line: Line, more: number, moreBytes: number): void {
    line.bytes += moreBytes;
    length += more;
    bytes += moreBytes;
  }

  /** Takes the next task that may start. */
  function take(mayStart: (task: Task) => boolean): Task | undefined {
    for (const [holder, line] of lines) {
      const at = line.tasks.findIndex(mayStart);
      const [task] = at < 0 ? [] : line.tasks.splice(at, 1);
      if (task === undefined) continue;
      change(line, -1, -task.bytes);
      lines.delete(holder);
      if (line.tasks.length > 0) lines.set(holder, line);
      return task;
    }
    return undefined;
  }

  /** Takes all tasks that are wanted. */
  function remove(isWanted: (task: Task) => boolean): Task[] {
    const removed: Task[] = [];
    for (let task = take(isWanted); task !== undefined; task = take(isWanted)) removed.push(task);
    return removed;
  }

  return {
    push,
    take,
    remove,
    /** Whether tasks of this source address wait. */
    has: (holder: string): boolean => lines.has(holder),
    some: (isWanted: (task: Task) => boolean): boolean => [...lines.values()].some(({ tasks }) => tasks.some(isWanted)),
    get length() {
      return length;
    },
  };
}
