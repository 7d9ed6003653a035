import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, PAGE_SIZE } from '../api/client.js';
import { type HttpIo, realIo } from '../api/http.js';
import { forgetOldest } from '../base/evict-oldest.js';
import { createListTail, type ListTail } from './list-tail.js';
import type { ReplyListener, ReplySource } from './polling.js';

/** Default of {@link AccountRepliesOptions.interval}. */
export const ACCOUNT_INTERVAL_MS = 1000;
/** How long the looks go on when nobody listens, in milliseconds: the next may begin to. */
export const LINGER_MS = 5000;
/** Most pages of one look at a list, 100 commands each. */
export const MAX_PAGES_PER_LOOK = 50;
/** Most commands whose SIM nobody has named yet that are kept for who does: their POST is still under way. */
export const MAX_UNCLAIMED = 5000;

export interface AccountRepliesOptions {
  /** Milliseconds between two looks; default 1000. */
  readonly interval?: number | undefined;
  readonly sleep?: HttpIo['sleep'] | undefined;
}

export interface AccountReplies extends ReplySource {
  /** Ends the looks now, and not when nobody has listened for a while. */
  end(): void;
}

/** Who waits for one SIM. */
interface Waiters {
  readonly listeners: Set<ReplyListener>;
  /** Where they wait for it under another name, and it is known. */
  simSid?: string;
}

/**
 * Replies of many SIMs from the account's list: one look for all who wait, whatever their number. It reads what came
 * from SIMs, and which commands failed, until a page holds a command that is known (as `pollingReplies`). A page that
 * was read counts for one of those who wait.
 */
export function accountReplies(
  client: Pick<IpCommandClient, 'pages'>,
  { interval = ACCOUNT_INTERVAL_MS, sleep = realIo.sleep }: AccountRepliesOptions = {},
): AccountReplies {
  const waitersOf = new Map<string, Waiters>();
  const nameOf = new Map<string, string>();
  const unclaimed = new Map<string, IpCommand>();
  let looks: { readonly ready: Promise<void>; readonly stop: AbortController } | undefined;
  let lingering: NodeJS.Timeout | undefined;

  const listening = () => [...waitersOf.values()].flatMap(({ listeners }) => [...listeners]);

  function tell(command: IpCommand): void {
    const { sid, sim_sid } = command;
    const names = [sim_sid, nameOf.get(sim_sid) ?? ''].filter((name) => waitersOf.has(name));
    for (const name of names) for (const listener of waitersOf.get(name)?.listeners ?? []) listener.heard(command);
    if (names.length > 0) return;
    unclaimed.set(sid, command);
    forgetOldest(unclaimed, MAX_UNCLAIMED);
  }

  function called(): void {
    const [waiters] = waitersOf.values();
    const [listener] = waiters?.listeners ?? [];
    listener?.called();
  }

  function start() {
    const stop = new AbortController();
    const options = { maxKnown: 2 * MAX_PAGES_PER_LOOK * PAGE_SIZE, onPage: called };
    const tails = [
      createListTail(client, { filters: { direction: 'from_sim' }, ...options }),
      createListTail(client, { filters: { status: 'failed' }, ...options }),
    ];
    // What they find came before anybody listened.
    const ready = Promise.all(tails.map((read) => read(1))).then(() => undefined);
    ready.then(
      () => {
        for (const read of tails) void goOn(read, stop.signal);
      },
      () => end(stop),
    );
    return { ready, stop };
  }

  async function goOn(read: ListTail, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(interval, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        const { news } = await read(MAX_PAGES_PER_LOOK);
        for (const command of news) tell(command);
      } catch (error) {
        for (const listener of listening()) listener.trouble(error);
      }
    }
  }

  function end(stop: AbortController): void {
    stop.abort();
    if (looks?.stop === stop) looks = undefined;
    unclaimed.clear();
  }

  function leave(sim: string, waiters: Waiters, listener: ReplyListener): void {
    waiters.listeners.delete(listener);
    if (waiters.listeners.size > 0 || waitersOf.get(sim) !== waiters) return;
    waitersOf.delete(sim);
    if (waiters.simSid !== undefined) nameOf.delete(waiters.simSid);
    const stop = looks?.stop;
    if (waitersOf.size > 0 || stop === undefined) return;
    clearTimeout(lingering);
    lingering = setTimeout(() => end(stop), LINGER_MS).unref();
  }

  return {
    async listen(sim, listener) {
      clearTimeout(lingering);
      const waiters = waitersOf.get(sim) ?? { listeners: new Set() };
      waitersOf.set(sim, waiters);
      waiters.listeners.add(listener);
      looks ??= start();
      try {
        await looks.ready;
      } catch (error) {
        leave(sim, waiters, listener);
        throw error;
      }
      return () => leave(sim, waiters, listener);
    },
    end() {
      clearTimeout(lingering);
      if (looks !== undefined) end(looks.stop);
    },
    learn(sim, simSid) {
      const waiters = waitersOf.get(sim);
      if (waiters === undefined || sim === simSid || waiters.simSid === simSid) return;
      waiters.simSid = simSid;
      nameOf.set(simSid, sim);
      const held = [...unclaimed.values()].filter(({ sim_sid }) => sim_sid === simSid);
      for (const command of held) {
        unclaimed.delete(command.sid);
        tell(command);
      }
    },
  };
}
