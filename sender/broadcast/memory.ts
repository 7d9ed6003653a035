import type { RequestProtection } from '../request/protection.js';
import type { RequestIdentity } from '../request/request.js';
import type { RequestResult } from '../request/result.js';

/** How the command ended on one SIM. */
export type BroadcastResult = RequestResult & { readonly sim: string };

/** The state of a broadcast outside the process, so that another process can resume it. */
export interface BroadcastMemory {
  /**
   * Returns the identity of a SIM's request, always the same: a device recognises a repeat by it. With what
   * {@link setProtection} was given for this SIM, also by an earlier process, or `start` with a key.
   */
  identity(sim: string): RequestIdentity;
  /**
   * Called, and awaited, before the first datagram to a SIM: from here on it may have been sent.
   *
   * @param key the id of the key that the request will be protected with
   * @returns when an earlier process called it for this SIM, in milliseconds since 1970
   */
  start(sim: string, key?: string): Promise<number | undefined>;
  /** Called, and awaited, before a datagram with a new sequence number leaves. Needed where SIMs have keys. */
  setProtection?(sim: string, protection: RequestProtection): Promise<void>;
  /** Returns the ID of the device's journal that {@link setJournal} was given for this SIM, also by an earlier process. */
  journal?(sim: string): string | undefined;
  /**
   * Called, and awaited, before a SIM is asked again, where its device tells which journal it has: with another one it
   * no longer knows the command.
   */
  setJournal?(sim: string, id: string): Promise<void>;
  /**
   * Called, and awaited, before a result is given. A SIM that has no outcome because the broadcast was stopped has
   * none.
   */
  end(result: BroadcastResult): Promise<void>;
}
