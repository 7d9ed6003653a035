import { SupersimError } from '../../../../shared/errors.js';
import type { Endpoint } from '../../endpoint.js';
import type { ModemEvent } from '../at/modem-event.js';
import type { Outcome, Request, Second } from '../at/request.js';
import { attempt, ModemFaultError, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';

/** Waits for the event that a socket is open, or why not. */
export const opened =
  (socket: number) =>
  (event: ModemEvent): Second | undefined =>
    event.kind === 'opened' && event.socket === socket ? fate(event.error) : undefined;

/** Waits for the event that a datagram has left, or why not. */
export const sent =
  (socket: number) =>
  (event: ModemEvent): Second | undefined =>
    event.kind === 'sent' && event.socket === socket ? fate(event.error) : undefined;

/** Waits for a URC, or a line of the answer, that says what it should. */
export const says =
  (good: RegExp, bad?: RegExp) =>
  (event: ModemEvent): Second | undefined => {
    if (event.kind !== 'urc' && event.kind !== 'information') return undefined;
    if (good.test(event.line)) return 'done';
    return bad?.test(event.line) ? { error: event.line } : undefined;
  };

const fate = (error: string | undefined): Second => (error === undefined ? 'done' : { error });

/** Runs a reading command until it brings no payload. @returns whether nothing is left */
export function* readUntilEmpty(command: string, most: number, onRefusal: 'empty' | 'gone'): Script<boolean> {
  for (let reads = 0; reads < most; reads++) {
    const outcome = yield* attempt(command, TIMEOUT.plain);
    if (!outcome.ok && outcome.failure === 'refused' && onRefusal === 'empty') return true;
    if (!outcome.ok) throw new ModemFaultError('socket', `${command}: ${outcome.error}`);
    if (outcome.payloads === 0) return true;
  }
  return false;
}

/** The request of a send whose confirmation is a event. */
export function sendRequest(
  command: string,
  payload: Buffer,
  socket: number,
  timeoutMs: number,
  more: Partial<Request> = {},
): Request {
  return { command, payload, timeoutMs, second: { find: sent(socket), timeoutMs: 10_000, optional: true }, ...more };
}

/** Most reads in one go, so that others get their turn. */
export const MAX_READS = 16;

/** Why a datagram did not leave, or nobody knows whether it has. */
export const sendFault = (command: string, { failure, error }: Extract<Outcome, { ok: false }>): ModemFaultError =>
  new ModemFaultError(failure === 'refused' || failure === 'timeout' ? 'send' : failure, `${command}: ${error}`);

/**
 * Sends a datagram from a socket.
 *
 * @throws SupersimError `modem-limit` when the modem cannot send as much
 * @throws ModemFaultError when it did not leave, or nobody knows whether it has
 */
export function* sendDatagram(
  dialect: Dialect,
  socket: number,
  to: Endpoint,
  bytes: Buffer,
  gateway: Endpoint,
): Script<void> {
  if (bytes.length > dialect.maxSend) {
    const message = `a datagram of ${bytes.length} bytes; the modem sends at most ${dialect.maxSend}`;
    throw new SupersimError('modem-limit', message);
  }
  yield* dialect.send(socket, to, bytes, gateway);
}
