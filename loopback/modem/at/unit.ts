/**
 * What the modem says in one piece. Nothing ever comes between the bytes of a unit; between two of them anything may
 * that happens at that time: a URC, noise.
 */
export interface Unit {
  /** `data`: a header with its raw payload. `result`: the final result of a command. */
  readonly kind: 'echo' | 'line' | 'data' | 'result' | 'prompt' | 'urc' | 'noise';
  readonly bytes: Buffer;
}

/** Bytes of text; each character is one byte. */
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Lines as they come after power-on, with their times. */
export const bootLines = (lines: readonly string[]): { at: number; bytes: Buffer }[] =>
  lines.map((line, index) => ({ at: 100 + 40 * index, bytes: framed(line) }));

/** A line as every dialect writes it. */
export const framed = (text: string): Buffer => latin1(`\r\n${text}\r\n`);
