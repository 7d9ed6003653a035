import type { Readable } from 'node:stream';
import { createCongestion } from '../base/congestion.js';

/** A start that takes less blocks the event loop for no longer than handling datagrams does. */
const QUICK_MS = 1;
/** The event loop has come to the end of its work when it has waited so long for more. */
const IDLE_MS = 0.2;
const LOOK_EACH_MS = 1;
/** An event loop that is never idle starts a program after so many times what the last start took: 5 % of its time. */
const MAX_PAUSE_IN_STARTS = 20;

/** Starts something when its turn comes, and resolves to what `start` returns or resolves to. */
export type PacedStart = <T>(start: () => Promise<T>) => Promise<T>;

/**
 * Makes a pace for starts that block the event loop: to fork, the system copies the page tables of the agent, which takes
 * milliseconds. Starts one after the other would leave no time to read the sockets, whose receive buffers overflow then,
 * and lose datagrams of all senders alike. So the next start waits until the event loop has been idle.
 *
 * @param idleMs returns how long the event loop has waited for work since the start of the process, in milliseconds
 */
export function createStartPace(idleMs: () => number): PacedStart {
  /** Settles when the next start may be. Never rejects. */
  let turn = Promise.resolve();

  async function rest(startedFor: number): Promise<void> {
    const idle = idleMs() + IDLE_MS;
    const end = performance.now() + startedFor * MAX_PAUSE_IN_STARTS;
    while (idleMs() < idle && performance.now() < end) await new Promise((look) => setTimeout(look, LOOK_EACH_MS));
  }

  return (start) =>
    new Promise((resolve, reject) => {
      turn = turn.then(() => {
        const begun = performance.now();
        start().then(resolve, reject);
        const took = performance.now() - begun;
        return took < QUICK_MS ? undefined : rest(took);
      });
    });
}

/** How long a stream rests: in an overload, 64 KiB are read of it in this time. */
export const REST_MS = 20;

/**
 * Makes a function that has a stream rest after each chunk while the event loop is overloaded: programs that write without
 * end would take all of its time from the sockets. What they write waits in the pipe, and they wait when it is full.
 *
 * @param idleMs returns how long the event loop has waited for work since the start of the process, in milliseconds
 */
export function createOutputPace(idleMs: () => number): (stream: Readable) => void {
  const isCongested = createCongestion(idleMs);
  return (stream) => {
    stream.on('data', () => {
      if (!isCongested(performance.now())) return;
      stream.pause();
      setTimeout(() => stream.resume(), REST_MS);
    });
  };
}

const idleMs = () => performance.eventLoopUtilization().idle;

export const startInTurn = createStartPace(idleMs);
export const restWhenCongested = createOutputPace(idleMs);
