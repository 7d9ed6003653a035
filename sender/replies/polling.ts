import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import { realIo, type Sleep } from '../api/http.js';
import { createListTail, type ListTail } from './list-tail.js';

/** Default of {@link PollingOptions.interval}. */
export const POLL_INTERVAL_MS = 2000;
/** Default of {@link PollingOptions.maxPages}. */
export const POLL_MAX_PAGES = 10;

/** The members of an IP Command that a reply source reports. */
export type CommandUpdate = Pick<IpCommand, 'sid' | 'direction' | 'status' | 'payload' | 'payload_type'>;

/** Receives what a reply source reports of one SIM. */
export interface ReplyListener {
  /**
   * Called for each command of the SIM that is new or has another status: from_sim, and to_sim where the source knows
   * them. It may be called twice for the same.
   *
   * @param vendorCode why a to_sim command has the status `failed`, where the source knows
   */
  onCommand(command: CommandUpdate, vendorCode?: number): void;
  /** Called for each API call. */
  onApiCall(): void;
  /** Called when the source cannot be read at present; it keeps trying. */
  onError(error: unknown): void;
}

/** Where replies come from: the list API, or webhooks. */
export interface ReplySource {
  /**
   * Subscribes to a SIM: everything that arrives once the promise has resolved is reported.
   *
   * @param sim its SID or unique name
   * @returns unsubscribes; may be called more than once
   * @throws (rejects) when the source cannot be read
   */
  listen(sim: string, listener: ReplyListener): Promise<() => void>;
  /** Tells the SID of a SIM that is listened to by its unique name, once an API call has returned it. */
  setSimSid?(sim: string, simSid: string): void;
}

export interface PollingOptions {
  /** Milliseconds between two reads of the list; default 2000. Each read costs an API call for each page. */
  readonly interval?: number | undefined;
  /** Most pages of one read, 100 commands each; default 10. */
  readonly maxPages?: number | undefined;
  /**
   * Reports also the commands that are in the list when a listener subscribes, for one that waited before; default
   * false.
   */
  readonly includeExisting?: boolean | undefined;
  readonly sleep?: Sleep | undefined;
}

/** The polling of one SIM's commands, shared by its listeners. */
interface PollLoop {
  readonly listeners: Set<ReplyListener>;
  /** Resolves after the first read: what it finds is not new. */
  readonly ready: Promise<void>;
  readonly stop: AbortController;
}

/**
 * Makes a reply source that polls the list API: one loop for each SIM, shared by its listeners, which ends with the
 * last of them. The list is read in both directions, which also shows when the network could not send a command.
 */
export function pollingReplies(client: Pick<IpCommandClient, 'pages'>, options: PollingOptions = {}): ReplySource {
  const {
    interval = POLL_INTERVAL_MS,
    maxPages = POLL_MAX_PAGES,
    includeExisting = false,
    sleep = realIo.sleep,
  } = options;
  const loops = new Map<string, PollLoop>();

  return {
    async listen(sim, listener) {
      const loop = loops.get(sim) ?? startLoop(sim, listener);
      loop.listeners.add(listener);
      const unsubscribe = () => {
        loop.listeners.delete(listener);
        if (loop.listeners.size === 0) endLoop(sim, loop);
      };
      try {
        await loop.ready;
        if (includeExisting) {
          const { news } = await tailOf(sim, new Set([listener]))(1);
          for (const command of news) listener.onCommand(command);
        }
      } catch (error) {
        unsubscribe();
        throw error;
      }
      return unsubscribe;
    },
  };

  function startLoop(sim: string, listener: ReplyListener): PollLoop {
    const listeners = new Set([listener]);
    const stop = new AbortController();
    const read = tailOf(sim, listeners);
    const first = read(PAGE_SIZE);
    const loop = { listeners, ready: first.then(() => undefined), stop };
    loops.set(sim, loop);
    first.then(
      () => poll(read, loop),
      () => endLoop(sim, loop),
    );
    return loop;
  }

  function endLoop(sim: string, loop: PollLoop): void {
    loop.stop.abort();
    if (loops.get(sim) === loop) loops.delete(sim);
  }

  async function poll(read: ListTail, { listeners, stop }: PollLoop): Promise<void> {
    while (!stop.signal.aborted) {
      await sleep(interval, stop.signal).catch(() => undefined);
      if (stop.signal.aborted) return;
      try {
        const { news } = await read(maxPages * PAGE_SIZE);
        for (const command of news) for (const listener of listeners) listener.onCommand(command);
      } catch (error) {
        for (const listener of listeners) {
          listener.onApiCall();
          listener.onError(error);
        }
      }
    }
  }

  function tailOf(sim: string, listeners: ReadonlySet<ReplyListener>): ListTail {
    const onPage = () => {
      for (const listener of listeners) listener.onApiCall();
    };
    return createListTail(client, { filters: { sim }, maxKnown: 2 * maxPages * PAGE_SIZE, onPage });
  }
}
