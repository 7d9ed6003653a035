import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as z from 'zod';

setFlagsFromString('--expose-gc');
const gc = z.function().parse(runInNewContext('gc'));

/** What this process uses, without what nobody holds any more. */
export function liveMemory() {
  gc();
  // What the first frees of buffers' memory it may free later, in another thread.
  gc();
  return process.memoryUsage();
}
