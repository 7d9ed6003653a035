import { createReadStream } from 'node:fs';
import * as z from 'zod';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import type { Notice } from '../../transport/modem/at/modem-event.js';
import { createObserver } from '../../transport/modem/console/observer.js';
import { DIALECTS, type DialectName } from '../../transport/modem/dialects/index.js';

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
  const observer = createObserver(DIALECTS[dialect].grammar);
  let clean = true;
  const show = (notices: readonly Notice[]) => {
    for (const notice of notices) {
      if (notice.kind === 'discarded') clean = false;
      const shown = formatNotice(notice);
      if (shown !== undefined) print(`${JSON.stringify(shown)}\n`);
    }
  };
  let number = 0;
  for await (const line of readLines(file)) {
    number++;
    if (line.trim() === '') continue;
    const { t, dir, hex } = parseRecord(line, number);
    show(observer.observe({ at: t, direction: dir, bytes: Buffer.from(hex, 'hex') }));
  }
  show(observer.end());
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
function formatNotice(notice: Notice): Readonly<Record<string, unknown>> | undefined {
  switch (notice.kind) {
    case 'prompt':
    case 'information':
      return undefined;
    case 'datagram': {
      const { kind, socket, source, bytes } = notice;
      return { kind, socket, ...source, hex: bytes.toString('hex') };
    }
    case 'discarded':
      return { kind: notice.kind, hex: notice.bytes.toString('hex'), why: notice.why };
    case 'sent':
    case 'opened': {
      const { kind, socket, error } = notice;
      return { kind, socket, ok: error === undefined, error };
    }
    case 'result': {
      const { kind, command, action, text, ok, lines } = notice;
      return action?.type === 'send' ? undefined : { kind, ...(command && { command }), ok, result: text, lines };
    }
    case 'pending': {
      const { kind, socket, bytes } = notice;
      return { kind, socket, bytes };
    }
    case 'urc':
      return { kind: notice.kind, line: notice.line };
    default:
      return notice;
  }
}
