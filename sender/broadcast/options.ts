import type { Duration } from '../../shared/duration.js';
import type { IpCommandClient } from '../api/client.js';
import type { ReplySource } from '../replies/polling.js';
import type { RequestParams } from '../request/params.js';
import type { RequestFormat } from '../request/request.js';
import type { Canary } from './canary.js';
import type { BroadcastMemory } from './memory.js';

export const DEFAULT_CONCURRENCY = 100;
export const MAX_CONCURRENCY = 10_000;

/** The SIMs' SIDs or unique names, each once; or all SIMs of a Fleet, by its SID or unique name. */
export type BroadcastSims = Iterable<string> | AsyncIterable<string> | { readonly fleet: string };

/** What a fleet is asked to do. */
export interface BroadcastCommand {
  readonly name: string;
  readonly params?: RequestParams | undefined;
  readonly format?: RequestFormat | undefined;
  readonly get?: boolean | undefined;
}

export interface BroadcastOptions {
  readonly client: Pick<IpCommandClient, 'create' | 'pages' | 'sims'>;
  /** Default: `accountReplies` of the client. */
  readonly replies?: ReplySource | undefined;
  /** Milliseconds between two looks for replies, where the default of `replies` looks; default 1000. */
  readonly interval?: number | undefined;
  readonly callbackUrl?: string | undefined;
  /** SIMs at once, 1 to 10,000; default 100. */
  readonly concurrency?: number | undefined;
  /** Most datagrams that are posted in a second, repeats too, 0.001 and more; default: as fast as it goes. */
  readonly rate?: number | undefined;
  /** Unix time in seconds after which a device must not begin, and no SIM is begun with. */
  readonly deadline?: number | undefined;
  /** Longest wait for each device; default 5min. */
  readonly timeout?: Duration | undefined;
  readonly devicePort?: number | undefined;
  readonly canary?: Canary | undefined;
  /** How many SIMs there are, where a canary's share is asked for and they are no array. */
  readonly total?: number | undefined;
  /** Remembers what has been sent and what came of it, so that another broadcast can go on with this one. */
  readonly memory?: BroadcastMemory | undefined;
  /** Told when the API stops taking datagrams; that is waited out for a while. */
  readonly onTrouble?: ((error: unknown) => void) | undefined;
  /** Begins with no further SIM, and ends the waiting for those begun with. */
  readonly signal?: AbortSignal | undefined;
  /** For tests, as in `createRequester`. */
  readonly timeScale?: number | undefined;
}
