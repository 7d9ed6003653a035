import { expect } from 'vitest';
import { encodeAnswers } from '../../../../agent/command/codec/encode.js';
import type { HandlerDefinition } from '../../../../agent/handlers/handler.js';
import { compileHandler } from '../../../../agent/handlers/registry.js';
import type { CommandFormat, Params } from '../../../../shared/command.js';
import { MODEM_HEALTH } from '../../../support/links.js';
import { contextFor } from '../support.js';

/** Runs a handler with parameters of a text command. */
export async function run(
  definition: HandlerDefinition,
  given: Partial<Params> = {},
  format: CommandFormat = 'text',
): Promise<unknown> {
  const handler = compileHandler(definition);
  const params = { positional: [], named: {}, ...given };
  const bound = handler.bind(params, true);
  if ('error' in bound) throw new Error(bound.error.message);
  return handler.run(bound.value, contextFor({ params, format }));
}

/** Asserts that a result fits uncut into one datagram in each format. */
export function expectToFit(result: unknown): void {
  for (const format of ['text', 'json', 'cbor'] as const) {
    const bytes = encodeAnswers(format, [{ id: 'x'.repeat(64), reply: { result } }], false);
    expect(Buffer.from(bytes ?? []).toString('latin1')).not.toMatch(/cut/);
  }
}

/** Links of a device with a modem that is not in use. */
export const link = () => ({
  name: 'udp',
  since: Date.UTC(2026, 0, 2, 3, 4, 5),
  switches: 2,
  links: [
    { name: 'udp', up: true, since: 0 },
    { name: 'modem', up: true, since: 0, modem: MODEM_HEALTH },
  ],
});
