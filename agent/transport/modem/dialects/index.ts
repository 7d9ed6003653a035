import { SupersimError } from '../../../../shared/errors.js';
import type { Dialect } from './dialect.js';
import { quectel } from './quectel.js';
import { simcom7080 } from './simcom7080.js';
import { simcom7600 } from './simcom7600.js';
import { ublox } from './ublox.js';

/** Every dialect that the agent speaks, by the name that the configuration has for it. */
export const DIALECTS = { quectel, simcom7600, simcom7080, ublox } as const satisfies Record<string, Dialect>;

export type DialectName = keyof typeof DIALECTS;

export const DIALECT_NAMES: readonly DialectName[] = ['quectel', 'simcom7600', 'simcom7080', 'ublox'];

/** Modems that look like one of ours and are not. */
const OTHERS: readonly (readonly [models: RegExp, what: string])[] = [
  [/SIM7000|SIM[89]\d\d/i, 'a SIMCom with the older CIPSTART commands'],
  [/^(?:M95|UG9[56]|BC\d\d)|Quectel_M/i, 'a Quectel with another set of commands'],
  [/nRF91/i, 'a Nordic'],
  [/[ML][EL]\d\d\d/i, 'a Telit'],
  [/HL78/i, 'a Sierra Wireless'],
  [/ESP/i, 'a Wi-Fi module'],
];

/**
 * The dialect of a modem, by its answer to `AT+CGMM`.
 *
 * @throws SupersimError `modem-unknown`
 */
export function dialectOf(model: string): DialectName {
  const name = DIALECT_NAMES.find((one) => DIALECTS[one].models.test(model));
  if (name !== undefined) return name;
  const what = OTHERS.find(([models]) => models.test(model))?.[1];
  throw new SupersimError('modem-unknown', `the modem ${model} is ${what ?? 'not known'}; it cannot be used`);
}
