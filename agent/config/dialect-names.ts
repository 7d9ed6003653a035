/**
 * The dialects of AT commands that the configuration can name. Each has a file and a row in
 * agent/transport/modem/dialects.
 */
export const DIALECT_NAMES = ['quectel', 'simcom7600', 'simcom7080', 'ublox'] as const;

export type DialectName = (typeof DIALECT_NAMES)[number];
