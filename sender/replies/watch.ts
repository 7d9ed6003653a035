import { messageOf } from '../../shared/errors.js';
import type { IpCommand } from '../../shared/ip-command.js';
import { mayPass } from '../api/api-error.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import type { Sleep } from '../api/http.js';
import { forgetOldest } from '../base/evict-oldest.js';

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
 * The API has no filter by date and promises no order
 * (docs/vendor-facts.md, "API: lists"): pages are read until one holds a SID that
 * is known, and each SID is given once. Trouble that may pass is waited out, except at the first look.
 */
export async function* watchCommands(
  client: Pick<IpCommandClient, 'pages'>,
  { sim, interval, signal, sleep, ready, warn }: WatchOptions,
): AsyncGenerator<IpCommand, void, undefined> {
  const filters = { sim, direction: 'from_sim', pageSize: PAGE_SIZE } as const;
  const known = new Set<string>();
  try {
    const there = await look(client.pages(filters), known, 1);
    remember(known, there.commands);
    const start = Math.max(...there.commands.map(created));
    ready();
    for (let inTrouble = false; ; ) {
      await sleep(interval, signal);
      const seen = await look(client.pages(filters), known, MAX_PAGES_PER_LOOK).catch(unlessItMayPass);
      if (seen instanceof Error) {
        if (!inTrouble) warn(`still trying: ${messageOf(seen)}`);
        inTrouble = true;
        continue;
      }
      inTrouble = false;
      if (!seen.complete) warn(MISSED);
      const fresh = seen.commands.filter((command) => !known.has(command.sid) && created(command) >= start);
      remember(known, seen.commands);
      yield* fresh.reverse().sort((a, b) => created(a) - created(b));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

const MISSED = `${MAX_PAGES_PER_LOOK} pages of the list are new since the last look: commands before them may be missed`;

const created = ({ date_created }: IpCommand) => Date.parse(date_created);

/**
 * Reads pages until one holds a known SID. Pages shift while they are read, so a SID can be on two of them.
 *
 * @returns complete is false when `maxPages` held no known SID: there may be more
 */
async function look(pages: AsyncIterable<readonly IpCommand[]>, known: ReadonlySet<string>, maxPages: number) {
  const seen = new Map<string, IpCommand>();
  let count = 0;
  for await (const page of pages) {
    count++;
    for (const command of page) seen.set(command.sid, command);
    if (page.some(({ sid }) => known.has(sid))) break;
    if (count === maxPages) return { commands: [...seen.values()], complete: false };
  }
  return { commands: [...seen.values()], complete: true };
}

/**
 * Adds the commands, newest first, so that the newest are forgotten last.
 *
 * @param max most SIDs to remember
 */
export function remember(known: Set<string>, commands: readonly Pick<IpCommand, 'sid'>[], max = MAX_KNOWN): void {
  for (const { sid } of commands.toReversed()) {
    known.delete(sid);
    known.add(sid);
  }
  forgetOldest(known, max);
}

/** Hands back an error that the next look may not meet. */
function unlessItMayPass(error: unknown): Error {
  if (error instanceof Error && mayPass(error)) return error;
  throw error;
}
