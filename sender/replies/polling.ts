import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import { realIo, type Sleep } from '../api/http.js';
import { createListTail, type ListTail } from './list-tail.js';

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
 * The list is read in both directions, which also tells when the network could not send a command.
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
          const { news } = await tailOf(sim, new Set([listener]))(1);
          for (const command of news) listener.heard(command);
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
    const stop = new AbortController();
    const read = tailOf(sim, listeners);
    const first = read(1);
    const loop = { listeners, ready: first.then(() => undefined), stop };
    loops.set(sim, loop);
    first.then(
      () => goOn(read, loop),
      () => endLoop(sim, loop),
    );
    return loop;
  }

  function endLoop(sim: string, loop: Loop): void {
    loop.stop.abort();
    if (loops.get(sim) === loop) loops.delete(sim);
  }

  async function goOn(read: ListTail, { listeners, stop }: Loop): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(interval, stop.signal).catch(() => undefined);
      if (stop.signal.aborted) return;
      try {
        const { news } = await read(maxPages);
        for (const command of news) for (const listener of listeners) listener.heard(command);
      } catch (error) {
        for (const listener of listeners) {
          listener.called();
          listener.trouble(error);
        }
      }
    }
  }

  function tailOf(sim: string, listeners: ReadonlySet<ReplyListener>): ListTail {
    const onPage = () => {
      for (const listener of listeners) listener.called();
    };
    return createListTail(client, { filters: { sim }, maxKnown: 2 * maxPages * PAGE_SIZE, onPage });
  }
}
