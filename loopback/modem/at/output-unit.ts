/** A piece of output. Its bytes are written together; between two units anything may come, such as a URC or noise. */
export interface OutputUnit {
  /** `data`: a header with its raw payload. `result`: the final result of a command. */
  readonly kind: 'echo' | 'line' | 'data' | 'result' | 'prompt' | 'urc' | 'noise';
  readonly bytes: Buffer;
}

/** Encodes text with one byte per character. */
export const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Lines after power-on, with their times. */
export const bootLines = (lines: readonly string[]): { at: number; bytes: Buffer }[] =>
  lines.map((line, index) => ({ at: 100 + 40 * index, bytes: framed(line) }));

/** Encodes a line as every dialect writes it. */
export const framed = (text: string): Buffer => latin1(`\r\n${text}\r\n`);
