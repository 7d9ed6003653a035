import { messageOf } from '../../shared/errors.js';
import type { IpCommand } from '../../shared/ip-command.js';
import { mayPass } from '../api/api-error.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import type { Sleep } from '../api/http.js';
import { evictOldest } from '../base/evict-oldest.js';
import { createListTail } from './list-tail.js';

/** Most pages of one read of the list. */
export const MAX_WATCH_PAGES = 10;
/** Most commands that are remembered: several times what one read can bring, so that the newest are always known. */
export const MAX_WATCHED_COMMANDS = 5 * MAX_WATCH_PAGES * PAGE_SIZE;

export interface WatchOptions {
  /** The SIM's SID or unique name; default all. */
  readonly sim?: string | undefined;
  /** Milliseconds between two reads of the list. */
  readonly interval: number;
  /** Stops the watch; the client must have the same signal. */
  readonly signal: AbortSignal;
  readonly sleep: Sleep;
  /** Called after the first read: commands that arrive from now on are given. */
  readonly ready: () => void;
  /** Called when the API stops answering, and when commands may have been missed. */
  readonly warn: (message: string) => void;
}

/**
 * Yields the from_sim commands that arrive from now on, oldest first, each once, by polling the list. Errors that may
 * pass are waited out, except at the first read.
 */
export async function* watchCommands(
  client: Pick<IpCommandClient, 'pages'>,
  { sim, interval, signal, sleep, ready, warn }: WatchOptions,
): AsyncGenerator<IpCommand, void, undefined> {
  const read = createListTail(client, { filters: { sim, direction: 'from_sim' }, maxKnown: MAX_WATCHED_COMMANDS });
  try {
    const first = await read(PAGE_SIZE);
    const start = Math.max(...first.news.map(created));
    /** SIDs that were given: a command whose status changes is news of the list, but not of the watch. */
    const given = new Set(first.news.map(({ sid }) => sid));
    ready();
    for (let failing = false; ; ) {
      await sleep(interval, signal);
      const found = await read(MAX_WATCH_PAGES * PAGE_SIZE).catch(unlessItMayPass);
      if (found instanceof Error) {
        if (!failing) warn(`the list cannot be read; retrying: ${messageOf(found)}`);
        failing = true;
        continue;
      }
      failing = false;
      if (!found.complete) warn(MISSED_WARNING);
      const fresh = found.news.filter((command) => created(command) >= start && !given.has(command.sid));
      for (const { sid } of fresh) given.add(sid);
      evictOldest(given, MAX_WATCHED_COMMANDS);
      yield* fresh.sort((a, b) => created(a) - created(b));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

const MISSED_WARNING = `all ${MAX_WATCH_PAGES} pages read are new since the last read: older commands may have been missed`;

const created = ({ date_created }: IpCommand) => Date.parse(date_created);

/** Returns an error that the next read may not meet, and throws any other. */
function unlessItMayPass(error: unknown): Error {
  if (error instanceof Error && mayPass(error)) return error;
  throw error;
}
