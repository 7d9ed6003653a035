import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import { type HttpIo, realIo } from '../api/http.js';
import { evictOldest } from '../base/evict-oldest.js';
import { createListTail, type ListTail } from './list-tail.js';
import type { ReplyListener, ReplySource } from './polling.js';

/** Default of {@link AccountRepliesOptions.interval}. */
export const ACCOUNT_INTERVAL_MS = 1000;
/** How long polling continues without a listener, in milliseconds: the next one is likely to come soon. */
export const LINGER_MS = 5000;
/** Most commands of one read of a list: twice as many as a broadcast has in flight. */
export const MAX_ACCOUNT_READ = 20_000;
/** Most commands that are kept without a listener for their SIM's SID: the POST that returns it may be in flight. */
export const MAX_UNCLAIMED = 5000;

export interface AccountRepliesOptions {
  /** Milliseconds from one read to the next, unless a read takes longer; default 1000. */
  readonly interval?: number | undefined;
  readonly sleep?: HttpIo['sleep'] | undefined;
  /** A monotonic clock, in milliseconds. */
  readonly now?: (() => number) | undefined;
}

export interface AccountReplies extends ReplySource {
  /** Stops polling now, instead of some seconds after the last listener. */
  end(): void;
}

/** The listeners of one SIM. */
interface Subscribers {
  readonly listeners: Set<ReplyListener>;
  /** The SIM's SID, where they subscribed by its unique name and the SID is known. */
  simSid?: string;
}

/**
 * Makes a reply source that polls the account's list for all SIMs at once, whatever the number of listeners. It reads
 * the from_sim commands and the failed ones. Each page that is read counts as an API call of one of the listeners.
 */
export function accountReplies(
  client: Pick<IpCommandClient, 'pages'> & Partial<Pick<IpCommandClient, 'maxPageSize'>>,
  { interval = ACCOUNT_INTERVAL_MS, sleep = realIo.sleep, now = () => performance.now() }: AccountRepliesOptions = {},
): AccountReplies {
  const subscribersOf = new Map<string, Subscribers>();
  const nameOf = new Map<string, string>();
  const unclaimed = new Map<string, IpCommand>();
  let polling: { readonly ready: Promise<void>; readonly stop: AbortController } | undefined;
  let lingerTimer: NodeJS.Timeout | undefined;

  const allListeners = () => [...subscribersOf.values()].flatMap(({ listeners }) => [...listeners]);

  function report(command: IpCommand): void {
    const { sid, sim_sid } = command;
    const names = [sim_sid, nameOf.get(sim_sid) ?? ''].filter((name) => subscribersOf.has(name));
    for (const name of names)
      for (const listener of subscribersOf.get(name)?.listeners ?? []) listener.onCommand(command);
    if (names.length > 0) return;
    unclaimed.set(sid, command);
    evictOldest(unclaimed, MAX_UNCLAIMED);
  }

  function onPage(): void {
    const [subscribers] = subscribersOf.values();
    const [listener] = subscribers?.listeners ?? [];
    listener?.onApiCall();
  }

  function start() {
    const stop = new AbortController();
    const options = { maxKnown: 2 * MAX_ACCOUNT_READ, maxPageSize: client.maxPageSize, onPage };
    const tails = [
      createListTail(client, { filters: { direction: 'from_sim' }, ...options }),
      createListTail(client, { filters: { status: 'failed' }, ...options }),
    ];
    // What they find came before the first listener.
    const ready = Promise.all(tails.map((read) => read(PAGE_SIZE))).then(() => undefined);
    ready.then(
      () => {
        for (const read of tails) void poll(read, stop.signal);
      },
      () => end(stop),
    );
    return { ready, stop };
  }

  async function poll(read: ListTail, signal: AbortSignal): Promise<void> {
    for (let pause = interval; !signal.aborted; ) {
      await sleep(pause, signal).catch(() => undefined);
      if (signal.aborted) return;
      const begun = now();
      pause = interval;
      try {
        await read(MAX_ACCOUNT_READ, (news) => news.forEach(report));
        // A list of many pages takes longer to read the later it is read.
        pause = Math.max(0, interval - (now() - begun));
      } catch (error) {
        for (const listener of allListeners()) listener.onError(error);
      }
    }
  }

  function end(stop: AbortController): void {
    stop.abort();
    if (polling?.stop === stop) polling = undefined;
    unclaimed.clear();
  }

  function unsubscribe(sim: string, subscribers: Subscribers, listener: ReplyListener): void {
    subscribers.listeners.delete(listener);
    if (subscribers.listeners.size > 0 || subscribersOf.get(sim) !== subscribers) return;
    subscribersOf.delete(sim);
    if (subscribers.simSid !== undefined) nameOf.delete(subscribers.simSid);
    const stop = polling?.stop;
    if (subscribersOf.size > 0 || stop === undefined) return;
    clearTimeout(lingerTimer);
    lingerTimer = setTimeout(() => end(stop), LINGER_MS).unref();
  }

  return {
    async listen(sim, listener) {
      clearTimeout(lingerTimer);
      const subscribers = subscribersOf.get(sim) ?? { listeners: new Set() };
      subscribersOf.set(sim, subscribers);
      subscribers.listeners.add(listener);
      polling ??= start();
      try {
        await polling.ready;
      } catch (error) {
        unsubscribe(sim, subscribers, listener);
        throw error;
      }
      return () => unsubscribe(sim, subscribers, listener);
    },
    end() {
      clearTimeout(lingerTimer);
      if (polling !== undefined) end(polling.stop);
    },
    setSimSid(sim, simSid) {
      const subscribers = subscribersOf.get(sim);
      if (subscribers === undefined || sim === simSid || subscribers.simSid === simSid) return;
      subscribers.simSid = simSid;
      nameOf.set(simSid, sim);
      const held = [...unclaimed.values()].filter(({ sim_sid }) => sim_sid === simSid);
      for (const command of held) {
        unclaimed.delete(command.sid);
        report(command);
      }
    },
  };
}
