import { isSupersimError, messageOf } from './errors.js';

/** Characters that can control a terminal: controls, bidirectional marks, line separators, lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/gu;
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Escapes text for a terminal, on one line: characters that could control it become `\n`, `\r`, `\t` or `\uXXXX`. These
 * are JSON's escapes, so a line of JSON keeps its meaning.
 */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Formats an error as every command line prints it: `error CODE: message`, and the remedy on the last line. */
export function formatError(error: unknown): string {
  if (!isSupersimError(error)) return `error: ${printableLines(messageOf(error))}\n`;
  return `error ${error.code}: ${printableLines(error.message)}\n${printable(error.remedy)}\n`;
}

const printableLines = (text: string) => text.split('\n').map(printable).join('\n');
