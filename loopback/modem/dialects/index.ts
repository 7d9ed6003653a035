import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import type { Dialect, DialectContext } from './dialect.js';
import { createQuectel } from './quectel/quectel.js';
import { quectelQuirks } from './quectel/state.js';
import { createSimcom7080 } from './simcom7080/simcom7080.js';
import { simcom7080Quirks } from './simcom7080/state.js';
import { createSimcom7600 } from './simcom7600/simcom7600.js';
import { simcom7600Quirks } from './simcom7600/state.js';
import { ubloxQuirks } from './ublox/state.js';
import { createUblox } from './ublox/ublox.js';

/** Builds a dialect whose quirks are resolved. */
export type DialectBuilder = (context: DialectContext) => Dialect;

function row<S extends z.ZodObject>(schema: S, create: (context: DialectContext, quirks: z.output<S>) => Dialect) {
  return {
    quirks: schema,
    /** @throws SupersimError `bad-input` */
    settle(input: unknown, remedy: string): DialectBuilder {
      const quirks = checkInput(schema, input, 'modem quirks', remedy);
      return (context) => create(context, quirks);
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

/** Variants of a family's firmware. */
export type Quirks = Readonly<Record<string, string>>;

/** @throws SupersimError `bad-input` for an unknown quirk or an invalid value */
export function resolveDialect(name: DialectName, quirks: Quirks = {}): DialectBuilder {
  const { settle, quirks: known } = DIALECTS[name];
  return settle(quirks, `Correct it; the quirks of ${name} are ${Object.keys(known.shape).join(', ')}.`);
}

/** Returns lines for each quirk of each family, with its values and its default. */
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
