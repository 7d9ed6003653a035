import type { AtOutcome } from '../at/request.js';
import { answerOf, attempt, type Script, TIMEOUT } from '../at/script.js';

export type RegistrationState = 'home' | 'roaming' | 'searching' | 'denied' | 'idle' | 'unknown';

/** The health of a modem. */
export interface Health {
  readonly registration: RegistrationState;
  /** Undefined while the modem does not report it. */
  readonly signalDbm?: number;
  readonly operator?: string;
  readonly attached: boolean;
  /** The address of the data context; undefined without one. A change makes all sockets stale. */
  readonly address?: string;
}

/** 3GPP TS 27.007 §10.1.22; 6 and 7 are registered for SMS only. */
const STATES: Readonly<Record<string, RegistrationState>> = {
  '0': 'idle',
  '1': 'home',
  '2': 'searching',
  '3': 'denied',
  '5': 'roaming',
};
/** Of several domains the best state counts: a Super SIM is nearly always roaming. */
const BEST: readonly RegistrationState[] = ['home', 'roaming', 'searching', 'denied', 'idle', 'unknown'];

export const isRegistered = (registration: RegistrationState): boolean =>
  registration === 'home' || registration === 'roaming';

/** Reads the registration in LTE, the packet and the circuit domain; one of them is enough. */
export function* readRegistration(): Script<RegistrationState> {
  const found: RegistrationState[] = [];
  for (const name of ['+CEREG', '+CGREG', '+CREG']) {
    const state = answerOf(yield* attempt(`AT${name}?`), name)?.split(',')[1];
    found.push(STATES[state?.trim() ?? ''] ?? 'unknown');
    if (found.some(isRegistered)) break;
  }
  return BEST.find((one) => found.includes(one)) ?? 'unknown';
}

export function* checkHealth(): Script<Health> {
  const state = yield* readRegistration();
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

/** Reads the reference signal's power (RSRP) in LTE, otherwise the received signal's strength (RSSI). */
function* signal(): Script<number | undefined> {
  const extended = answerOf(yield* attempt('AT+CESQ'), '+CESQ')
    ?.split(',')
    .map(Number);
  const rsrp = extended?.[5];
  // TS 27.007 §8.69: 0 is below −140 dBm, 97 is −44 dBm or more, 255 is unknown.
  if (rsrp !== undefined && rsrp >= 0 && rsrp <= 97) return rsrp - 141;
  const rssi = Number(answerOf(yield* attempt('AT+CSQ'), '+CSQ')?.split(',')[0] ?? Number.NaN);
  // §8.5: 99 is unknown.
  return rssi >= 0 && rssi <= 31 ? -113 + 2 * rssi : undefined;
}

/** Parses `+COPS: 0,2,"23415",7`, which without an operator has the mode only. */
const parseOperator = (outcome: AtOutcome): string | undefined =>
  /^\d+, ?\d+, ?"([^"]+)"/.exec(answerOf(outcome, '+COPS') ?? '')?.[1];

/** Reads the address of the data context. @returns undefined without a context: no address, or 0.0.0.0 */
export function* contextAddress(): Script<string | undefined> {
  const answer = answerOf(yield* attempt('AT+CGPADDR=1'), '+CGPADDR');
  const address = /^1, ?"?(\d+\.\d+\.\d+\.\d+)/.exec(answer ?? '')?.[1];
  return address === '0.0.0.0' ? undefined : address;
}
