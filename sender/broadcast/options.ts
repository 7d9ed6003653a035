import type { Duration } from '../../shared/duration.js';
import type { IpCommandClient } from '../api/client.js';
import type { ReplySource } from '../replies/polling.js';
import type { RequestParams } from '../request/params.js';
import type { RequesterOptions, RequestFormat } from '../request/request.js';
import type { SimLookup } from '../security/security.js';
import type { Canary } from './canary.js';
import type { BroadcastMemory } from './memory.js';

export const DEFAULT_CONCURRENCY = 5000;
export const MAX_CONCURRENCY = 10_000;

/** The SIMs' SIDs or unique names, each once; or all SIMs of a Fleet, by its SID or unique name. */
export type BroadcastSims = Iterable<string> | AsyncIterable<string> | { readonly fleet: string };

/** The command that a broadcast runs on each SIM's device. */
export interface BroadcastCommand {
  readonly name: string;
  readonly params?: RequestParams | undefined;
  readonly format?: RequestFormat | undefined;
  readonly get?: boolean | undefined;
}

export interface BroadcastOptions {
  readonly client: Pick<IpCommandClient, 'create' | 'pages' | 'sims'> &
    Partial<Pick<IpCommandClient, 'maxPageSize'>> &
    SimLookup;
  /** The keys, as in `createRequester`. */
  readonly security?: RequesterOptions['security'];
  /** Default: `accountReplies` of the client. */
  readonly replies?: ReplySource | undefined;
  /** Milliseconds from one read of the list to the next by the default of `replies`; default 1000. */
  readonly interval?: number | undefined;
  readonly callbackUrl?: string | undefined;
  /** Most SIMs in flight, 1 to 10,000; default 5000. */
  readonly concurrency?: number | undefined;
  /** Most datagrams that are posted in a second, repeats included, from 0.001; default: unlimited. */
  readonly rate?: number | undefined;
  /** Unix time in seconds after which no device may start the command, and no SIM is sent it. */
  readonly deadline?: number | undefined;
  /** Longest wait for each device; default 5min. */
  readonly timeout?: Duration | undefined;
  readonly devicePort?: number | undefined;
  readonly canary?: Canary | undefined;
  /** How many SIMs there are: needed with `canary` unless they are an array. */
  readonly total?: number | undefined;
  /** Pass a `memory` to make a broadcast resumable: it is called when each SIM starts and ends. */
  readonly memory?: BroadcastMemory | undefined;
  /** Called when the API stops accepting datagrams; the broadcast retries for five minutes. */
  readonly onOutage?: ((error: unknown) => void) | undefined;
  /** Stops the broadcast: no further SIM is started, and those in flight are no longer waited for. */
  readonly signal?: AbortSignal | undefined;
  /** For tests, as in `createRequester`. */
  readonly timeScale?: number | undefined;
}
