import { isSupersimError, messageOf } from './errors.js';

/**
 * What may move a terminal's cursor or turn its text around: controls, bidirectional marks, line separators, halves.
 */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/gu;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Text made safe for a terminal, on one line: what could control it is written as `\n`, `\r`, `\t` or `\uXXXX`.
 * These are JSON's own escapes, so one line of JSON stays the same JSON.
 */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** An error as every command line prints it: `error CODE: message`, and its remedy on the last line. */
export function formatError(error: unknown): string {
  if (!isSupersimError(error)) return `error: ${printableLines(messageOf(error))}\n`;
  return `error ${error.code}: ${printableLines(error.message)}\n${printable(error.remedy)}\n`;
}

const printableLines = (text: string) => text.split('\n').map(printable).join('\n');
