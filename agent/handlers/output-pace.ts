import type { Readable } from 'node:stream';
import { createCongestion } from '../base/congestion.js';

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

export const restWhenCongested = createOutputPace(() => performance.eventLoopUtilization().idle);
