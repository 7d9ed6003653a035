import type { DialectName } from '../../../../agent/config/dialect-names.js';
import type { ModemEvent } from '../../../../agent/transport/modem/at/modem-event.js';
import { createLogReader, type LogChunk } from '../../../../agent/transport/modem/console/log-reader.js';
import { DIALECTS } from '../../../../agent/transport/modem/dialects/index.js';

/** NUL, Ctrl-Z, ESC, and what looks like results and URCs. */
export const P12 = Buffer.from('001a1b0d0a4f4b0d0a2b513e', 'hex').toString('latin1');
export const P12_HEX = '001a1b0d0a4f4b0d0a2b513e';

/** One line of a conversation: `> ` what the host wrote, `< ` what the modem did, with \r, \n, \0 and \xHH. */
export type Exchange = readonly (readonly ['tx' | 'rx', string])[];

/** A conversation written as lines; `<P12>` stands for the payload. */
export function conversation(...lines: readonly string[]): Exchange {
  return lines.map((line) => {
    const text = line.slice(2).replaceAll('<P12>', P12);
    return [line.startsWith('> ') ? 'tx' : 'rx', text] as const;
  });
}

/** What is understood, one short line each; what others tell better is left out. */
export function tell(events: readonly ModemEvent[]): string[] {
  return events.flatMap((event) => {
    switch (event.kind) {
      case 'datagram':
        return [`datagram ${event.socket} ${event.source.address}:${event.source.port} ${event.bytes.toString('hex')}`];
      case 'sent':
      case 'opened':
        return [`${event.kind} ${event.socket}${event.error === undefined ? '' : `: ${event.error}`}`];
      case 'closed':
        return [`closed ${event.socket}`];
      case 'pending':
        return [`pending ${event.socket}${event.bytes === undefined ? '' : ` ${event.bytes}`}`];
      case 'urc':
        return [`urc ${event.line}`];
      case 'result': {
        if (event.action?.type === 'send') return [];
        const lines = event.lines.length === 0 ? '' : ` ${event.lines.join(' ')}`;
        return [`${event.command ?? 'stray'}${lines} ${event.text}`];
      }
      case 'discarded':
        return [`discarded ${event.reason} ${event.bytes.toString('hex')}`];
      default:
        return [];
    }
  });
}

const chunks = (exchange: Exchange): LogChunk[] =>
  exchange.map(([direction, text], index) => ({ at: index, direction, bytes: Buffer.from(text, 'latin1') }));

/** Chunks that follow each other in one direction made one. */
export function atOnce(all: readonly LogChunk[]): LogChunk[] {
  const merged: LogChunk[] = [];
  for (const chunk of all) {
    const last = merged.at(-1);
    if (last?.direction !== chunk.direction) merged.push(chunk);
    else merged.splice(-1, 1, { ...last, bytes: Buffer.concat([last.bytes, chunk.bytes]) });
  }
  return merged;
}

/** Every chunking worth trying: as given, at once, byte by byte, and each chunk cut in two at each place. */
export function* chunkings(exchange: Exchange): Generator<LogChunk[]> {
  const given = chunks(exchange);
  const merged = atOnce(given);
  yield given;
  yield merged;
  yield given.flatMap((chunk) => [...chunk.bytes].map((byte) => ({ ...chunk, bytes: Buffer.from([byte]) })));
  for (const [index, chunk] of merged.entries()) {
    for (let cut = 1; cut < chunk.bytes.length; cut++) {
      const halves = [chunk.bytes.subarray(0, cut), chunk.bytes.subarray(cut)].map((bytes) => ({ ...chunk, bytes }));
      yield [...merged.slice(0, index), ...halves, ...merged.slice(index + 1)];
    }
  }
}

/** What the log reader understands of a log. */
export function observe(dialect: DialectName, log: readonly LogChunk[]): string[] {
  const reader = createLogReader(DIALECTS[dialect].grammar);
  return tell([...log.flatMap((chunk) => reader.read(chunk)), ...reader.end()]);
}

export const observeExchange = (dialect: DialectName, exchange: Exchange): string[] =>
  observe(dialect, chunks(exchange));
