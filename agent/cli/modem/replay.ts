import { createReadStream } from 'node:fs';
import * as z from 'zod';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import type { DialectName } from '../../config/dialect-names.js';
import type { ModemEvent } from '../../transport/modem/at/modem-event.js';
import { createLogReader } from '../../transport/modem/console/log-reader.js';
import { DIALECTS } from '../../transport/modem/dialects/index.js';

/** Maximum characters of a line; far above any chunk of a serial port. */
const MAX_LINE_LENGTH = 1_000_000;

const recordSchema = z.object({
  t: z.number(),
  dir: z.enum(['tx', 'rx']),
  hex: z.string().regex(/^(?:[0-9a-f]{2})*$/i, 'must be pairs of hexadecimal digits'),
});

/**
 * Prints the events that the agent recognises in a log of AT traffic, one JSON line each.
 *
 * @param file a path, or `-` for stdin
 * @returns whether no bytes were discarded
 * @throws (rejects) SupersimError `bad-input` when the log cannot be read
 */
export async function replay(dialect: DialectName, file: string, print: (line: string) => void): Promise<boolean> {
  const reader = createLogReader(DIALECTS[dialect].grammar);
  let clean = true;
  const show = (events: readonly ModemEvent[]) => {
    for (const event of events) {
      if (event.kind === 'discarded') clean = false;
      const shown = formatEvent(event);
      if (shown !== undefined) print(`${JSON.stringify(shown)}\n`);
    }
  };
  let number = 0;
  for await (const line of readLines(file)) {
    number++;
    if (line.trim() === '') continue;
    const { t, dir, hex } = parseRecord(line, number);
    show(reader.read({ at: t, direction: dir, bytes: Buffer.from(hex, 'hex') }));
  }
  show(reader.end());
  return clean;
}

async function* readLines(file: string): AsyncGenerator<string> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  let rest = '';
  try {
    for await (const text of input.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_LENGTH) throw new Error('a line is too long');
      yield* lines;
    }
  } catch (error) {
    throw new SupersimError('bad-input', `${file}: ${messageOf(error)}`, { cause: error });
  }
  yield rest;
}

function parseRecord(line: string, number: number): z.output<typeof recordSchema> {
  try {
    return recordSchema.parse(JSON.parse(line.replace(/^\uFEFF/, '')));
  } catch (error) {
    throw new SupersimError('bad-input', `line ${number} is not a record { "t": ms, "dir": "tx" | "rx", "hex": "…" }`, {
      cause: error,
    });
  }
}

/** Converts an event to JSON; undefined for events that others include. */
function formatEvent(event: ModemEvent): Readonly<Record<string, unknown>> | undefined {
  switch (event.kind) {
    case 'prompt':
    case 'information':
      return undefined;
    case 'datagram': {
      const { kind, socket, source, bytes } = event;
      return { kind, socket, ...source, hex: bytes.toString('hex') };
    }
    case 'discarded':
      return { kind: event.kind, hex: event.bytes.toString('hex'), why: event.reason };
    case 'sent':
    case 'opened': {
      const { kind, socket, error } = event;
      return { kind, socket, ok: error === undefined, error };
    }
    case 'result': {
      const { kind, command, action, text, ok, lines } = event;
      return action?.type === 'send' ? undefined : { kind, ...(command && { command }), ok, result: text, lines };
    }
    case 'pending': {
      const { kind, socket, bytes } = event;
      return { kind, socket, bytes };
    }
    case 'urc':
      return { kind: event.kind, line: event.line };
    default:
      return event;
  }
}
