import { isUtf8 } from 'node:buffer';
import { printable } from '../../../shared/cli.js';
import { detectFormat } from '../../../shared/format/detect.js';
import { fromCbor, isRecord } from '../../../shared/format/value.js';
import { type IpCommand, payloadBytes } from '../../../shared/ip-command.js';

/**
 * Formats a payload for people, on one line and safe for a terminal: text as it is, JSON without white space, CBOR in
 * its diagnostic notation (RFC 8949 §8), anything else in hexadecimal.
 */
export function showPayload(command: Pick<IpCommand, 'payload' | 'payload_type'>): string {
  const bytes = payloadBytes(command);
  const format = detectFormat(bytes);
  if (format === 'text') return printable(bytes.toString('utf8'));
  if (format === 'json' && isUtf8(bytes)) return printable(compactJson(bytes.toString('utf8')));
  const shown = format === 'cbor' ? showCbor(bytes) : undefined;
  return printable(shown ?? `0x${bytes.toString('hex')}`);
}

/**
 * Removes white space from JSON; not by parsing it, which would round long numbers. Other text is returned as it is.
 */
function compactJson(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}

function showCbor(bytes: Uint8Array): string | undefined {
  try {
    return diagnostic(fromCbor(bytes));
  } catch {
    return undefined;
  }
}

function diagnostic(value: unknown): string {
  if (value instanceof Uint8Array) return `h'${Buffer.from(value).toString('hex')}'`;
  if (Array.isArray(value)) return `[${value.map(diagnostic).join(',')}]`;
  if (isRecord(value)) {
    return `{${Object.entries(value)
      .map(([key, member]) => `${JSON.stringify(key)}:${diagnostic(member)}`)
      .join(',')}}`;
  }
  if (typeof value === 'object' && value !== null) throw new TypeError('not a value of CBOR without tags');
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
