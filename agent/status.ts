import type { DropCause } from './command/outbox/policy.js';
import type { Counters } from './command/stats/counters.js';
import type { RecentCommand, RecentDatagram, RefusedSource } from './command/stats/recent.js';
import type { CommandSources } from './command/stats/sources.js';
import type { InterfaceStatus } from './packet-filter/enforcement.js';
import type { SecurityStatus } from './security/security.js';
import type { DatabaseStatus } from './storage/database.js';
import type { LinkView } from './transport/transport.js';

/** How an agent is doing. */
export interface AgentStatus {
  /** The address that it listens on; undefined while there is no link. */
  readonly address: string | undefined;
  readonly ports: readonly number[];
  /** Undefined before the start. */
  readonly link: LinkView | undefined;
  /** Undefined before the start. */
  readonly security: SecurityStatus | undefined;
  /** Whether only the cellular interface reaches the device ports; undefined before the start, and without UDP. */
  readonly interface: InterfaceStatus | undefined;
  readonly running: number;
  readonly waiting: number;
  readonly counters: Readonly<Counters>;
  /** Undefined while none has ended; `at` in Unix milliseconds. */
  readonly lastCommand: RecentCommand | undefined;
  /** Where the last 1,000 commands came from. */
  readonly sources: CommandSources;
  /** Undefined while nothing has left; `at` in Unix milliseconds. */
  readonly lastSent: RecentDatagram | undefined;
  /** The last few sources whose datagrams were refused, the latest first. */
  readonly lastRefused: readonly RefusedSource[];
  /** Datagrams that the kernel threw away because the receive buffer was full; undefined where it does not tell. */
  readonly kernelDrops: number | undefined;
  /** Undefined before the start, and where there is none. */
  readonly journal:
    | ({
        /** False when it is in memory only, as configured. */
        readonly persistent: boolean;
        /** Commands with their replies, and those that have not ended. */
        readonly entries: number;
        readonly bytes: number;
        /** Of the entries, those that have not ended. */
        readonly live: number;
        /** All commands whose outcome is remembered. */
        readonly remembered: number;
      } & DatabaseStatus)
    | undefined;
  /** Undefined before the start, and where there is none. */
  readonly outbox:
    | { readonly entries: number; readonly bytes: number; readonly drops: Readonly<Record<DropCause, number>> }
    | undefined;
}
