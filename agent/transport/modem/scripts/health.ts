import type { Outcome } from '../at/request.js';
import { answerOf, attempt, type Script, TIMEOUT } from '../at/script.js';

export type Registration = 'home' | 'roaming' | 'searching' | 'denied' | 'idle' | 'unknown';

/** How a modem is doing. */
export interface Health {
  readonly registration: Registration;
  /** Undefined while the modem does not know. */
  readonly signalDbm?: number;
  readonly operator?: string;
  readonly attached: boolean;
  /** Of the data context; undefined without one. A change of it means that all sockets are stale. */
  readonly address?: string;
}

/** 3GPP TS 27.007 §10.1.22; 6 and 7 are registered for SMS only. */
const STATES: Readonly<Record<string, Registration>> = {
  '0': 'idle',
  '1': 'home',
  '2': 'searching',
  '3': 'denied',
  '5': 'roaming',
};
/** The best of several is what counts: a Super SIM is nearly always roaming. */
const BEST: readonly Registration[] = ['home', 'roaming', 'searching', 'denied', 'idle', 'unknown'];

export const isRegistered = (registration: Registration): boolean =>
  registration === 'home' || registration === 'roaming';

/** Asks for the registration in all of LTE, packet and circuit domain: any of them will do. */
export function* registration(): Script<Registration> {
  const found: Registration[] = [];
  for (const name of ['+CEREG', '+CGREG', '+CREG']) {
    const state = answerOf(yield* attempt(`AT${name}?`), name)?.split(',')[1];
    found.push(STATES[state?.trim() ?? ''] ?? 'unknown');
    if (found.some(isRegistered)) break;
  }
  return BEST.find((one) => found.includes(one)) ?? 'unknown';
}

export function* checkHealth(): Script<Health> {
  const state = yield* registration();
  const signalDbm = yield* signal();
  const operator = parseOperator(yield* attempt('AT+COPS?', TIMEOUT.operator));
  const attached = answerOf(yield* attempt('AT+CGATT?'), '+CGATT')?.startsWith('1') === true;
  const address = yield* contextAddress();
  return {
    registration: state,
    attached,
    ...(signalDbm !== undefined && { signalDbm }),
    ...(operator !== undefined && { operator }),
    ...(address !== undefined && { address }),
  };
}

/** In LTE the reference signal's power (RSRP), else the received signal's strength (RSSI). */
function* signal(): Script<number | undefined> {
  const extended = answerOf(yield* attempt('AT+CESQ'), '+CESQ')
    ?.split(',')
    .map(Number);
  const rsrp = extended?.[5];
  // TS 27.007 §8.69: 0 is below −140 dBm, 97 is −44 dBm or more, 255 is not known.
  if (rsrp !== undefined && rsrp >= 0 && rsrp <= 97) return rsrp - 141;
  const rssi = Number(answerOf(yield* attempt('AT+CSQ'), '+CSQ')?.split(',')[0] ?? Number.NaN);
  // §8.5: 99 is not known.
  return rssi >= 0 && rssi <= 31 ? -113 + 2 * rssi : undefined;
}

/** `+COPS: 0,2,"23415",7`; without an operator just the mode. */
const parseOperator = (outcome: Outcome): string | undefined =>
  /^\d+, ?\d+, ?"([^"]+)"/.exec(answerOf(outcome, '+COPS') ?? '')?.[1];

/** @returns undefined without a context: no address, or 0.0.0.0 */
export function* contextAddress(): Script<string | undefined> {
  const answer = answerOf(yield* attempt('AT+CGPADDR=1'), '+CGPADDR');
  const address = /^1, ?"?(\d+\.\d+\.\d+\.\d+)/.exec(answer ?? '')?.[1];
  return address === '0.0.0.0' ? undefined : address;
}
