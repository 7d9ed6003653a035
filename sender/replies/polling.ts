import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import { realIo, type Sleep } from '../api/http.js';
import { forgetOldest } from '../base/evict-oldest.js';

/** Default of {@link PollingOptions.interval}. */
export const POLL_INTERVAL_MS = 2000;
/** Default of {@link PollingOptions.maxPages}. */
export const POLL_MAX_PAGES = 10;

/** What is heard of an IP Command. */
export type HeardCommand = Pick<IpCommand, 'sid' | 'direction' | 'status' | 'payload' | 'payload_type'>;

/** Who waits for what a SIM's device sends. */
export interface ReplyListener {
  /**
   * Told of each command of the SIM that is new, and of each whose status has changed: from_sim, and, where the source
   * knows of them, to_sim. One may be told twice.
   *
   * @param vendorCode why a to_sim command has the status `failed`, where the source knows
   */
  heard(command: HeardCommand, vendorCode?: number): void;
  /** The API was called. */
  called(): void;
  /** The source cannot hear at present; it goes on trying. */
  trouble(error: unknown): void;
}

/** Where replies come from: the list API, or webhooks. */
export interface ReplySource {
  /**
   * Listens to a SIM. Everything that comes once the promise has resolved is told.
   *
   * @param sim its SID or unique name
   * @returns what ends the listening; it can be called again
   * @throws (rejects) when it cannot be listened to
   */
  listen(sim: string, listener: ReplyListener): Promise<() => void>;
  /** Told the SID of a SIM that is listened to under another name, when the API has taken a command for it. */
  learn?(sim: string, simSid: string): void;
}

export interface PollingOptions {
  /** Milliseconds between two looks at the list; default 2000. Each look costs an API call for each page. */
  readonly interval?: number | undefined;
  /** Most pages of one look, 100 commands each; default 10. */
  readonly maxPages?: number | undefined;
  /**
   * Tells a listener also of what is in the list when it begins to listen, as it began to wait before that; default
   * false.
   */
  readonly tellFirst?: boolean | undefined;
  readonly sleep?: Sleep | undefined;
}

/** The looks at one SIM's commands, for all who wait for them. */
interface Loop {
  readonly listeners: Set<ReplyListener>;
  /** Resolves after the first look: what it finds is not new. */
  readonly ready: Promise<void>;
  readonly stop: AbortController;
}

/**
 * Replies from the list API: one loop of looks for each SIM, shared by all who wait for it, that ends when nobody does.
 * The list has no filter by date and no promised order
 * (docs/vendor-facts.md, "API: lists"): pages are read until one holds a known SID.
 * It is read in both directions, which also tells when the network could not send a command.
 */
export function pollingReplies(client: Pick<IpCommandClient, 'pages'>, options: PollingOptions = {}): ReplySource {
  const { interval = POLL_INTERVAL_MS, maxPages = POLL_MAX_PAGES, tellFirst = false, sleep = realIo.sleep } = options;
  const loops = new Map<string, Loop>();

  return {
    async listen(sim, listener) {
      const loop = loops.get(sim) ?? startLoop(sim, listener);
      loop.listeners.add(listener);
      const leave = () => {
        loop.listeners.delete(listener);
        if (loop.listeners.size === 0) endLoop(sim, loop);
      };
      try {
        await loop.ready;
        if (tellFirst) {
          const there = await look(sim, new Map(), 1, new Set([listener]));
          for (const command of there.reverse()) listener.heard(command);
        }
      } catch (error) {
        leave();
        throw error;
      }
      return leave;
    },
  };

  function startLoop(sim: string, listener: ReplyListener): Loop {
    const listeners = new Set([listener]);
    const known: Known = new Map();
    const stop = new AbortController();
    const first = look(sim, known, 1, listeners);
    const loop = { listeners, ready: first.then(() => undefined), stop };
    loops.set(sim, loop);
    first.then(
      () => goOn(sim, known, loop),
      () => endLoop(sim, loop),
    );
    return loop;
  }

  function endLoop(sim: string, loop: Loop): void {
    loop.stop.abort();
    if (loops.get(sim) === loop) loops.delete(sim);
  }

  async function goOn(sim: string, known: Known, { listeners, stop }: Loop): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(interval, stop.signal).catch(() => undefined);
      if (stop.signal.aborted) return;
      try {
        const news = await look(sim, known, maxPages, listeners);
        for (const command of news.reverse()) for (const listener of listeners) listener.heard(command);
      } catch (error) {
        for (const listener of listeners) {
          listener.called();
          listener.trouble(error);
        }
      }
    }
  }

  /** Reads pages until one holds a known SID, `maxPages` at most; gives what is new or has another status. */
  async function look(sim: string, known: Known, pages: number, listeners: ReadonlySet<ReplyListener>) {
    const seen = new Map<string, IpCommand>();
    let count = 0;
    for await (const page of client.pages({ sim, pageSize: PAGE_SIZE })) {
      for (const listener of listeners) listener.called();
      for (const command of page) seen.set(command.sid, command);
      if (++count === pages || page.some(({ sid }) => known.has(sid))) break;
    }
    const news = [...seen.values()].filter(({ sid, status }) => known.get(sid) !== status);
    remember(known, seen, 2 * maxPages * PAGE_SIZE);
    return news;
  }
}

/** The status that each known command had, those seen last at the end. */
type Known = Map<string, IpCommand['status']>;

/** @param max most commands to remember: more than one look can read, so that the newest are always among them */
function remember(known: Known, seen: ReadonlyMap<string, IpCommand>, max: number): void {
  for (const { sid, status } of [...seen.values()].reverse()) {
    known.delete(sid);
    known.set(sid, status);
  }
  forgetOldest(known, max);
}
