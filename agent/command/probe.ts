import { SupersimError } from '../../shared/errors.js';
import { silentLog } from '../base/log.js';
import type { ListenedPort } from '../config/schema.js';
import type { Datagram } from '../transport/transport.js';
import type { RefusalCause } from './admit.js';
import { decode } from './codec/decode.js';
import { createExchanges, type LifeOptions } from './exchange.js';
import { createCounters } from './stats/counters.js';
import { createMeters } from './stats/meters.js';

const REQUEST = 'ping';
const ANSWER = 'ok pong';
const NAME = 'probe';
/** No device port: each of those may be pinned to a format, or to a handler. */
const PORT: ListenedPort = { port: 0, format: 'auto', handler: undefined };

export interface ProbeOptions extends Pick<LifeOptions, 'registry' | 'launch' | 'seen' | 'maxBytes'> {
  readonly refusalOf: (datagram: Datagram) => RefusalCause | undefined;
  /** An address that may send. */
  readonly source: string;
}

/**
 * Sends a `ping` through the pipeline from where a transport would hand it up to where its reply would be sent.
 * Nothing counts, logs or journals it. Resolves when the reply is there, be that never.
 *
 * @throws (rejects) SupersimError `probe-failed` when it is refused, or another reply comes
 */
export function probe({ refusalOf, source, ...life }: ProbeOptions): Promise<void> {
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
    const isClogged = life.seen.isClogged(performance.now());
    const decoded = decode(datagram.bytes, PORT, life.maxBytes());
    const exchanges = createExchanges({
      ...life,
      authorize: () => undefined,
      journal: undefined,
      counters: createCounters(),
      meters: createMeters(),
      logCommand: () => undefined,
      log: silentLog,
      reply(bytes) {
        const answer = Buffer.from(bytes).toString();
        if (answer === ANSWER) resolve();
        else fail(`answered ${JSON.stringify(answer)}`);
      },
    });
    if (cause !== undefined) fail(`refused: ${cause}`);
    else if (isClogged) fail('not sent: commands are refused, as what is remembered of earlier ones does not expire');
    else if (decoded?.message === undefined) fail('not understood');
    else exchanges.take({ message: decoded.message, datagram, peer: NAME, format: decoded.format });
  });
}
