import { SupersimError } from '../../shared/errors.js';
import { silentLog } from '../base/log.js';
import type { ListenedPort } from '../config/schema.js';
import type { Registry } from '../handlers/registry.js';
import type { Datagram } from '../transport/transport.js';
import { decode } from './codec/decode.js';
import type { DuplicateTable } from './dedup/duplicate-table.js';
import { createExchanges } from './exchange.js';
import { createLives } from './life.js';
import type { RefusalCause } from './peers/admit.js';
import type { SubmitCommand } from './runner/deadline-gate.js';
import { createStats } from './stats/stats.js';

const REQUEST = 'ping';
const ANSWER = 'ok pong';
const NAME = 'probe';
/** Not a device port: those may be pinned to a format or to a handler. */
const PORT: ListenedPort = { port: 0, format: 'auto', handler: undefined, unprotected: undefined };

export interface ProbeOptions {
  readonly registry: Registry;
  /** Runs the ping in a slot that no command can take. */
  readonly submit: SubmitCommand;
  readonly duplicates: DuplicateTable;
  readonly maxBytes: () => number;
  readonly refusalOf: (datagram: Datagram) => RefusalCause | undefined;
  /** An address that may send. */
  readonly source: string;
}

/**
 * Sends a `ping` through the pipeline, from where a transport hands datagrams up to where replies are sent.
 * It is not counted, logged or journalled. Resolves when the reply arrives; may never settle.
 *
 * @throws (rejects) SupersimError `probe-failed` when the ping is refused, or another reply arrives
 */
export function probe({ refusalOf, source, registry, submit, duplicates, maxBytes }: ProbeOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new SupersimError('probe-failed', `a ping through the pipeline was ${what}`));
    const datagram: Datagram = {
      bytes: Buffer.from(REQUEST),
      source: { address: source, port: 0 },
      port: PORT.port,
      transport: NAME,
      receivedAt: performance.now(),
    };
    const cause = refusalOf(datagram);
    const isClogged = duplicates.isClogged(performance.now());
    const decoded = decode(datagram.bytes, PORT, maxBytes());
    const log = silentLog;
    const stats = createStats(log);
    const authorize = () => undefined;
    const caller = { kind: 'anyone', port: PORT.port } as const;
    const exchanges = createExchanges({
      registry,
      authorize,
      lives: createLives({ authorize, submit, duplicates, journal: undefined, stats, log }),
      duplicates,
      stats,
      log,
      reply(bytes) {
        const answer = Buffer.from(bytes).toString();
        if (answer === ANSWER) resolve();
        else fail(`answered ${JSON.stringify(answer)}`);
      },
    });
    if (cause !== undefined) fail(`refused: ${cause}`);
    else if (isClogged) fail('not sent: the duplicate table is full, though entries in it have expired');
    else if (decoded === undefined || decoded.format === 'coap') fail('not decoded');
    else exchanges.take({ message: decoded.message, datagram, peer: NAME, caller, format: decoded.format, maxBytes });
  });
}
