import type { Grammar } from './grammar.js';
import { grammar as quectel } from './quectel.js';
import { grammar as simcom7080 } from './simcom7080.js';
import { grammar as simcom7600 } from './simcom7600.js';
import { grammar as ublox } from './ublox.js';

export const GRAMMARS = { quectel, simcom7600, simcom7080, ublox } as const satisfies Record<string, Grammar>;

export type DialectName = keyof typeof GRAMMARS;

export const DIALECT_NAMES: readonly DialectName[] = ['quectel', 'simcom7600', 'simcom7080', 'ublox'];
