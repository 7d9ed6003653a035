import type { RequestResult } from '../request/outcome.js';
import type { RequestIdentity } from '../request/request.js';

/** What the command came to on one SIM. */
export type BroadcastResult = RequestResult & { readonly sim: string };

/** What a broadcast leaves behind, so that another process can go on with it. */
export interface BroadcastMemory {
  /** By what a SIM's device knows the request: always the same. */
  identity(sim: string): RequestIdentity;
  /**
   * Awaited before anything is sent to a SIM: it may have been, from here on.
   *
   * @returns when that was written down by an earlier process, in milliseconds since 1970
   */
  begin(sim: string): Promise<number | undefined>;
  /** Awaited before a result is given. What ended because the broadcast was ended is neither. */
  end(result: BroadcastResult): Promise<void>;
}
