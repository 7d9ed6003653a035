import { SupersimError } from '../../../../shared/errors.js';
import type { Endpoint } from '../../endpoint.js';
import type { ModemEvent } from '../at/modem-event.js';
import type { AtOutcome, AtRequest, SecondResult } from '../at/request.js';
import { attempt, ModemFaultError, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';

/** Finds the event that a socket was opened, or could not be. */
export const opened =
  (socket: number) =>
  (event: ModemEvent): SecondResult | undefined =>
    event.kind === 'opened' && event.socket === socket ? resultOf(event.error) : undefined;

/** Finds the event that a datagram was sent, or could not be. */
export const sent =
  (socket: number) =>
  (event: ModemEvent): SecondResult | undefined =>
    event.kind === 'sent' && event.socket === socket ? resultOf(event.error) : undefined;

/** Finds a URC, or a line of the answer, that reports success or failure. */
export const lineMatching =
  (good: RegExp, bad?: RegExp) =>
  (event: ModemEvent): SecondResult | undefined => {
    if (event.kind !== 'urc' && event.kind !== 'information') return undefined;
    if (good.test(event.line)) return 'done';
    return bad?.test(event.line) ? { error: event.line } : undefined;
  };

const resultOf = (error: string | undefined): SecondResult => (error === undefined ? 'done' : { error });

/** Repeats a read command until it returns no payload. @returns whether nothing is left to read */
export function* readUntilEmpty(command: string, most: number, onRefusal: 'empty' | 'gone'): Script<boolean> {
  for (let reads = 0; reads < most; reads++) {
    const outcome = yield* attempt(command, TIMEOUT.plain);
    if (!outcome.ok && outcome.failure === 'refused' && onRefusal === 'empty') return true;
    if (!outcome.ok) throw new ModemFaultError('socket', `${command}: ${outcome.error}`);
    if (outcome.payloads === 0) return true;
  }
  return false;
}

/** Returns the request of a send that an event confirms. */
export function sendRequest(
  command: string,
  payload: Buffer,
  socket: number,
  timeoutMs: number,
  more: Partial<AtRequest> = {},
): AtRequest {
  return { command, payload, timeoutMs, second: { find: sent(socket), timeoutMs: 10_000, optional: true }, ...more };
}

/** Most reads in a row, so that other scripts can run in between. */
export const MAX_READS = 16;

/** The error of a send that failed, or whose result is unknown. */
export const sendFault = (command: string, { failure, error }: Extract<AtOutcome, { ok: false }>): ModemFaultError =>
  new ModemFaultError(failure === 'refused' || failure === 'timeout' ? 'send' : failure, `${command}: ${error}`);

/**
 * Sends a datagram from a socket.
 *
 * @throws SupersimError `modem-limit` when the modem cannot send as much
 * @throws ModemFaultError when it was not sent, or may not have been
 */
export function* sendDatagram(
  dialect: Dialect,
  socket: number,
  to: Endpoint,
  bytes: Buffer,
  gateway: Endpoint,
): Script<void> {
  if (bytes.length > dialect.maxSend) {
    const message = `cannot send a datagram of ${bytes.length} bytes: the modem sends at most ${dialect.maxSend}`;
    throw new SupersimError('modem-limit', message);
  }
  yield* dialect.send(socket, to, bytes, gateway);
}
