import { messageOf } from '../../shared/errors.js';
import type { IpCommand } from '../../shared/ip-command.js';
import { mayPass } from '../api/api-error.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import type { Sleep } from '../api/http.js';
import { createListTail } from './list-tail.js';

/** Most pages that one look at the list reads. */
export const MAX_PAGES_PER_LOOK = 10;
/** Most SIDs that are remembered: several times what one look can read, so that the newest are always among them. */
export const MAX_KNOWN = 5 * MAX_PAGES_PER_LOOK * PAGE_SIZE;

export interface WatchOptions {
  /** The SIM's SID or unique name; default all. */
  readonly sim?: string | undefined;
  /** Milliseconds between two looks at the list. */
  readonly interval: number;
  /** Ends the watch; the client must have the same one. */
  readonly signal: AbortSignal;
  readonly sleep: Sleep;
  /** Called after the first look: what comes from here on is given. */
  readonly ready: () => void;
  /** Told when the API stops answering, and when commands were missed. */
  readonly warn: (message: string) => void;
}

/**
 * The from_sim commands that come from now on, oldest first, by looking at the list again and again.
 * Each SID is given once. Trouble that may pass is waited out, except at the first look.
 */
export async function* watchCommands(
  client: Pick<IpCommandClient, 'pages'>,
  { sim, interval, signal, sleep, ready, warn }: WatchOptions,
): AsyncGenerator<IpCommand, void, undefined> {
  const read = createListTail(client, { filters: { sim, direction: 'from_sim' }, maxKnown: MAX_KNOWN });
  try {
    const there = await read(1);
    const start = Math.max(...there.news.map(created));
    ready();
    for (let inTrouble = false; ; ) {
      await sleep(interval, signal);
      const seen = await read(MAX_PAGES_PER_LOOK).catch(unlessItMayPass);
      if (seen instanceof Error) {
        if (!inTrouble) warn(`still trying: ${messageOf(seen)}`);
        inTrouble = true;
        continue;
      }
      inTrouble = false;
      if (!seen.complete) warn(MISSED);
      const fresh = seen.news.filter((command) => created(command) >= start);
      yield* fresh.sort((a, b) => created(a) - created(b));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

const MISSED = `${MAX_PAGES_PER_LOOK} pages of the list are new since the last look: commands before them may be missed`;

const created = ({ date_created }: IpCommand) => Date.parse(date_created);

/** Hands back an error that the next look may not meet. */
function unlessItMayPass(error: unknown): Error {
  if (error instanceof Error && mayPass(error)) return error;
  throw error;
}
