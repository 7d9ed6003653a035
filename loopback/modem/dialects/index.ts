import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import type { Dialect, Kit } from './dialect.js';
import { createQuectel, quectelQuirks } from './quectel.js';
import { createSimcom7080, simcom7080Quirks } from './simcom7080.js';
import { createSimcom7600, simcom7600Quirks } from './simcom7600.js';
import { createUblox, ubloxQuirks } from './ublox.js';

/** A modem family, with quirks that are settled. */
export type BuildDialect = (kit: Kit) => Dialect;

function row<S extends z.ZodObject>(schema: S, create: (kit: Kit, quirks: z.output<S>) => Dialect) {
  return {
    quirks: schema,
    /** @throws SupersimError `bad-input` */
    settle(input: unknown, remedy: string): BuildDialect {
      const quirks = checkInput(schema, input, 'modem quirks', remedy);
      return (kit) => create(kit, quirks);
    },
  };
}

const DIALECTS = {
  quectel: row(quectelQuirks, createQuectel),
  simcom7600: row(simcom7600Quirks, createSimcom7600),
  simcom7080: row(simcom7080Quirks, createSimcom7080),
  ublox: row(ubloxQuirks, createUblox),
} as const;

export type DialectName = keyof typeof DIALECTS;
export const DIALECT_NAMES = ['quectel', 'simcom7600', 'simcom7080', 'ublox'] as const satisfies DialectName[];

/** What the firmware of a family does in more than one way. */
export type Quirks = Readonly<Record<string, string>>;

/** @throws SupersimError `bad-input` for an unknown quirk, or a value that it cannot have */
export function settleDialect(name: DialectName, quirks: Quirks = {}): BuildDialect {
  const { settle, quirks: known } = DIALECTS[name];
  return settle(quirks, `Correct it; the quirks of ${name} are ${Object.keys(known.shape).join(', ')}.`);
}

/** Lines for each quirk of each family, with its values and its default. */
export function quirksHelp(): string {
  return DIALECT_NAMES.map((name) => {
    const lines = Object.entries<z.ZodType>(DIALECTS[name].quirks.shape).map(([key, schema]) => {
      const inner = schema instanceof z.ZodDefault ? schema.unwrap() : schema;
      const values = inner instanceof z.ZodEnum ? inner.options.join('|') : '';
      return `  ${key}=${values} (${schema.parse(undefined)})\n    ${schema.description}`;
    });
    return `  ${name}:\n${lines.join('\n')}`;
  }).join('\n');
}
