import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../../../../agent/config/dialect-names.js';
import { createLogReader, type LogChunk } from '../../../../../../agent/transport/modem/console/log-reader.js';
import { DIALECTS } from '../../../../../../agent/transport/modem/dialects/index.js';
import { SEED } from '../../../../../support/seed.js';
import { observe, tell } from '../../support.js';
import { TRANSCRIPTS } from '../../transcripts.js';

/** What nothing may come into the middle of: a line, a header with its payload, a prompt. */
type Atom = readonly ['tx' | 'rx', string];

/** One way to receive or to send; `echo` is what the modem gives back of the command. */
interface Form {
  readonly what: string;
  readonly dialect: DialectName;
  /** A payload that fits. */
  readonly most?: number;
  readonly before?: readonly Atom[];
  readonly atoms: (payload: string, echo: (command: string) => string) => readonly Atom[];
  readonly understood: (hex: string) => string;
}

const len = (payload: string) => payload.length;
const hex = (payload: string) => Buffer.from(payload, 'latin1').toString('hex');
const received = (digits: string) => `datagram 0 100.64.0.1:6969 ${digits}`;
const ok: Atom = ['rx', '\r\nOK\r\n'];

function read(dialect: DialectName, what: string, command: string, answer: (payload: string) => string): Form {
  return {
    what: `${dialect}: ${what}`,
    dialect,
    atoms: (payload, echo) => [['tx', `${command}\r`], ['rx', `${echo(command)}\r\n${answer(payload)}`], ok],
    understood: received,
  };
}

function push(
  dialect: DialectName,
  what: string,
  before: readonly Atom[],
  atoms: (payload: string) => readonly string[],
): Form {
  return {
    what: `${dialect}: ${what}`,
    dialect,
    before,
    atoms: (payload) => atoms(payload).map((text) => ['rx', text]),
    understood: received,
  };
}

function send(
  dialect: DialectName,
  command: (length: number) => string,
  prompt: string,
  answer: (length: number) => readonly string[],
  before: readonly Atom[] = [],
): Form {
  return {
    what: `${dialect}: send after ${JSON.stringify(prompt)}`,
    dialect,
    before,
    atoms: (payload, echo) => [
      ['tx', `${command(len(payload))}\r`],
      // Nothing comes between the echo of a payload and its prompt.
      ['rx', `${echo(command(len(payload)))}${prompt}`],
      ['tx', payload],
      ...(echo('') === '' ? [] : [['rx', payload] as const]),
      ...answer(len(payload)).map((text) => ['rx', text] as const),
    ],
    understood: () => 'sent 0',
  };
}

const quectelOpen = (mode: number): Atom[] => [
  ['tx', `AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,${mode}\r`],
  ok,
  ['rx', '\r\n+QIOPEN: 0,0\r\n'],
];
const simcomOpen: Atom[] = [['tx', 'AT+CIPOPEN=0,"UDP",,,6969\r'], ['rx', '\r\n+CIPOPEN: 0,0\r\n'], ok];
const noPayloadEcho: Atom[] = [['tx', 'AT+QISDE=0\r'], ok];
const quectelSend = (length: number) => `AT+QISEND=0,${length},"100.64.0.1",6969`;
const simcomSend = (length: number) => `AT+CIPSEND=0,${length},"100.64.0.1",6969`;
const sendOk = () => ['\r\nSEND OK\r\n'];

const FORMS: readonly Form[] = [
  read('quectel', 'read', 'AT+QIRD=0', (it) => `+QIRD: ${len(it)},"100.64.0.1",6969\r\n${it}\r\n`),
  read('quectel', 'read with a length', 'AT+QIRD=0,1500', (it) => `+QIRD:${len(it)},"100.64.0.1",6969\n${it}\r\n`),
  push('quectel', 'push', quectelOpen(1), (it) => [
    `\r\n+QIURC: "recv",0,${len(it)},"100.64.0.1",6969\r\n${it}`,
    '\r\n',
  ]),
  ...['\r\n> ', '\r\n>', '\r\n>\r\n', '\r\n> \r\n'].flatMap((prompt) => [
    send('quectel', quectelSend, prompt, sendOk, noPayloadEcho),
    send('simcom7600', simcomSend, prompt, (length) => ['\r\nOK\r\n', `\r\n+CIPSEND: 0,${length},${length}\r\n`]),
    send(
      'simcom7080',
      (length) => `AT+CASEND=0,${length}`,
      prompt,
      () => ['\r\nOK\r\n'],
    ),
  ]),
  push('simcom7600', '+IPD', simcomOpen, (it) => [
    '\r\nRECV FROM:100.64.0.1:6969\r\n',
    `+IPD${len(it)}\r\n${it}`,
    '\r\n',
  ]),
  push('simcom7600', '+RECEIVE', simcomOpen, (it) => [
    '\r\nRECV FROM:100.64.0.1:6969\r\n',
    `+RECEIVE,0,${len(it)}:\r\n${it}`,
  ]),
  read('simcom7600', 'read', 'AT+CIPRXGET=2,0,1500', (it) => `+CIPRXGET: 2,0,${len(it)},0\r\n${it}\r\n`),
  read('simcom7600', 'hexadecimal', 'AT+CIPRXGET=3,0,750', (it) => `+CIPRXGET: 3,0,${len(it)},0\r\n${hex(it)}\r\n`),
  read('simcom7080', 'read', 'AT+CARECV=0,1459', (it) => `+CARECV: ${len(it)},${it}\r\n`),
  read('simcom7080', 'read with the socket', 'AT+CARECV=0,1459', (it) => `+CARECV: 0,${len(it)},${it}\r\n`),
  read(
    'simcom7080',
    'read with the source',
    'AT+CARECV=0,1459',
    (it) => `+CARECV: 100.64.0.1,6969,${len(it)},${it}\r\n`,
  ),
  push('simcom7080', 'push', [], (it) => [`\r\n+CAURC: "recv",0,${len(it)}\r\n${it}`]),
  read('ublox', 'read', 'AT+USORF=0,1024', (it) => `+USORF: 0,"100.64.0.1",6969,${len(it)},"${it}"\r\n`),
  read('ublox', 'connected read', 'AT+USORD=0,1024', (it) => `+USORD: 0,${len(it)},"${it}"\r\n`),
  {
    ...read(
      'ublox',
      'hexadecimal',
      'AT+USORF=0,512',
      (it) => `+USORF: 0,"100.64.0.1",6969,${len(it)},"${hex(it)}"\r\n`,
    ),
    before: [['tx', 'AT+UDCONF=1,1\r'], ok],
    most: 511,
  },
  send(
    'ublox',
    (length) => `AT+USOST=0,"100.64.0.1",6969,${length}`,
    '\r\n@',
    (length) => [`\r\n+USOST: 0,${length}\r\n`, '\r\nOK\r\n'],
  ),
];

const URCS: Readonly<Record<DialectName, readonly string[]>> = {
  quectel: ['+QIURC: "recv",7', '+QIURC: "closed",7', '+QIND: SMS DONE', '+QIURC: "incoming full"'],
  simcom7600: ['+CIPRXGET: 1,7', '+IPCLOSE: 7,1', 'PB DONE'],
  simcom7080: ['+CADATAIND: 7', '+CASTATE: 7,0', '+APP PDP: 1,ACTIVE', 'SMS Ready'],
  ublox: ['+UUSORF: 5,10', '+UUSORD: 5,10', '+UUSOCL: 5', '+UMWI: 0,1'],
};
const COMMON_URCS = ['+CEREG: 5', '+CREG: 5,"1A2B","01A2B3C4",7', '+CPIN: READY', 'NO CARRIER', 'RING'];

const SYNTAX = [
  '\r\nOK\r\n',
  '\r\nERROR\r\n',
  '\r\nSEND OK\r\n',
  '\r\n> ',
  '@',
  '+++',
  '\x1a',
  '\x1b',
  '\0',
  '\r',
  '\n',
  '"',
  ',',
  '5,',
];
const payloads = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...SYNTAX,
        ...COMMON_URCS,
        ...Object.values(URCS).flat(),
        'AT\r',
        '+QIRD: 9,"1.2.3.4",5\r\n',
        '+IPD9\r\n',
      ),
      fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((parts) => parts.join('').slice(0, 1000));

/** Cuts a conversation anywhere. */
function cut(atoms: readonly Atom[], sizes: readonly number[]): LogChunk[] {
  let next = 0;
  return atoms.flatMap(([direction, text]) => {
    const chunks: LogChunk[] = [];
    for (let rest = Buffer.from(text, 'latin1'); rest.length > 0; ) {
      const size = sizes[next++ % sizes.length] ?? 1;
      chunks.push({ at: 0, direction, bytes: rest.subarray(0, size) });
      rest = rest.subarray(size);
    }
    return chunks;
  });
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
const essence = (all: readonly string[]) => all.filter((line) => /^(?:datagram|sent|discarded|stray)/.test(line));

describe('the dialogue reads any payload with URCs between any two lines, in any chunks:', () => {
  it.each(FORMS)('$what', ({ dialect, before = [], most = 1000, atoms, understood }) => {
    const urcs = fc.constantFrom(...URCS[dialect], ...COMMON_URCS);
    const insertions = fc.array(fc.tuple(fc.nat(), urcs), { maxLength: 4 });
    fc.assert(
      fc.property(payloads, fc.boolean(), insertions, chunkSizes, (whole, echoes, inserted, sizes) => {
        const payload = whole.slice(0, most);
        const echo = (command: string) => (echoes ? `${command}\r` : '');
        const woven = [...atoms(payload, echo)];
        for (const [at, urc] of inserted) {
          const places = woven.flatMap(([direction], index) =>
            direction === 'rx' && !isPayloadEcho(woven, index, payload) ? [index] : [],
          );
          // Also behind all.
          woven.splice([...places, woven.length][at % (places.length + 1)] ?? 0, 0, ['rx', `\r\n${urc}\r\n`]);
        }
        const echoed = echoes && before === noPayloadEcho ? [] : before;
        const found = observe(dialect, cut([...echoed, ...woven], sizes));
        expect(essence(found)).toEqual([understood(hex(payload))]);
        const alone = inserted.flatMap(([, urc]) => observe(dialect, cut([['rx', `\r\n${urc}\r\n`]], [99])));
        const without = observe(dialect, cut([...echoed, ...atoms(payload, echo)], [9999]));
        expect(new Set(found)).toEqual(new Set([...without, ...alone]));
      }),
      { seed: SEED, numRuns: 150 },
    );
  });

  /** The echo of a payload comes right behind the prompt. */
  const isPayloadEcho = (woven: readonly Atom[], index: number, payload: string) =>
    woven[index]?.[1] === payload && woven[index - 1]?.[0] === 'tx';
});

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
  fc.constantFrom(...TRANSCRIPTS.flatMap(({ exchange }) => exchange.map(([, text]) => Buffer.from(text, 'latin1')))),
  fc
    .constantFrom('\r\n', '+QIRD: 2048,"1.2.3.4",5\r\n', '+IPD2048\r\n', '+CARECV: 2000,', '> ', 'OK\r\n')
    .map((text) => Buffer.from(text)),
);
const chunks = fc.array(
  fc.record({ at: fc.nat(5000), direction: fc.constantFrom('tx' as const, 'rx' as const, 'rx' as const), bytes }),
  { maxLength: 60 },
);
const dialects = fc.constantFrom(...DIALECT_NAMES);

describe('arbitrary bytes to the dialogue', () => {
  it('never throw, and give the same events in any chunks', () => {
    fc.assert(
      fc.property(dialects, chunks, (dialect, log) => {
        const single = log.flatMap((chunk) =>
          [...chunk.bytes].map((byte) => ({ ...chunk, bytes: Buffer.from([byte]) })),
        );
        expect(observe(dialect, single)).toEqual(observe(dialect, log));
      }),
      { seed: SEED, numRuns: 400 },
    );
  });

  it('never give more bytes than were received', () => {
    fc.assert(
      fc.property(dialects, chunks, (dialect, log) => {
        const reader = createLogReader(DIALECTS[dialect].grammar);
        const events = [...log.flatMap((chunk) => reader.read(chunk)), ...reader.end()];
        const came = log.reduce((sum, chunk) => sum + (chunk.direction === 'rx' ? chunk.bytes.length : 0), 0);
        const yielded = events.reduce(
          (sum, event) => sum + ('bytes' in event && Buffer.isBuffer(event.bytes) ? event.bytes.length : 0),
          0,
        );
        expect(yielded).toBeLessThanOrEqual(came);
        expect(tell(events).length).toBeLessThanOrEqual(2 * came + log.length);
      }),
      { seed: SEED, numRuns: 400 },
    );
  });
});
