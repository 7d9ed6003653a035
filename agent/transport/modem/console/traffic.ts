import type { ModemRecord } from '../../transport.js';

/** Bounds of the log. */
const MAX_RECORDS = 4000;
const MAX_BYTES = 262_144;
const COMMAND = /^AT[ -~]*\r$/i;
/** The digits of a PIN or a PUK. */
const PIN_DIGITS = /(?<=\+(?:CPIN=|CLCK="SC",\d,|CPWD="SC",)[^\r]*)\d/gi;

interface Entry {
  readonly n: number;
  readonly t: number;
  readonly dir: ModemRecord['dir'];
  readonly bytes: Buffer;
}

/** The latest bytes to and from the modem. */
export type Traffic = ReturnType<typeof createTraffic>;

export function createTraffic(now: () => number = () => performance.now()) {
  const records: Entry[] = [];
  let size = 0;
  let count = 0;

  function add(dir: ModemRecord['dir'], bytes: Buffer): void {
    records.push({ n: ++count, t: now(), dir, bytes });
    size += bytes.length;
    while (records.length > MAX_RECORDS || size > MAX_BYTES) size -= records.shift()?.bytes.length ?? size;
  }

  return {
    sent: (bytes: Buffer): void => add('tx', withoutPin(bytes)),
    received: (bytes: Buffer): void => add('rx', bytes),
    /** Returns the kept records with a number above this one, oldest first. */
    after: (last: number): readonly ModemRecord[] =>
      records.filter(({ n }) => n > last).map(({ bytes, ...record }) => ({ ...record, hex: bytes.toString('hex') })),
  };
}

/** Masks the SIM's PIN in a command, so that it is never kept. */
export function withoutPin(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  return COMMAND.test(text) ? Buffer.from(text.replace(PIN_DIGITS, '*'), 'latin1') : bytes;
}
