import { describe, expect, test } from 'vitest';
import {
  formatModemFaults,
  type ModemFaultsInput,
  parseModemFaults,
  resolveModemFaults,
} from '../../../../loopback/modem/faults/faults.js';
import { ERROR, line, OK, SOON_MS, type TestModemOptions, testModem } from '../support.js';

function listening(faults: ModemFaultsInput = {}, options: TestModemOptions = {}) {
  const modem = testModem('quectel', options);
  for (const command of ['AT+QISDE=0', 'AT+QIACT=1', 'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0'])
    modem.at(command);
  modem.setFaults(faults);
  return modem;
}

const RECV = line('+QIURC: "recv",0');
const drain = (modem: ReturnType<typeof listening>) => {
  modem.at('AT+QIRD=0');
  modem.at('AT+QIRD=0');
};

describe('faults of URCs', () => {
  test('lose the second URC and print the third twice', () => {
    const modem = listening({ urcLoss: [2], urcDuplicate: [3] });
    const heard = [1, 2, 3].map((number) => {
      modem.receive(`${number}`);
      const printed = modem.printed();
      drain(modem);
      return printed;
    });
    expect(heard).toEqual([RECV, '', RECV + RECV]);
  });

  test('hold a URC back until it comes within the next answer', () => {
    const places = new Set<string>();
    for (let seed = 0; seed < 20; seed += 1) {
      const modem = listening({ urcBetween: 1 }, { seed });
      modem.receive('x');
      expect(modem.printed()).toBe('');
      const printed = modem.at('AT+CSQ');
      expect(printed.replace(RECV, '')).toBe(`${line('+CSQ: 21,99')}${OK}`);
      places.add(printed);
    }
    expect([...places].sort()).toEqual(
      [`${RECV}${line('+CSQ: 21,99')}${OK}`, `${line('+CSQ: 21,99')}${RECV}${OK}`].sort(),
    );
  });

  test('print a URC between prompt and result', () => {
    const modem = listening({ urcBetween: 1 });
    expect(modem.ask('AT+QISEND=0,1,"100.64.0.1",6969\r')).toBe('\r\n> ');
    modem.receive('x');
    expect(modem.ask('y')).toBe(`${RECV}\r\nSEND OK\r\n`);
  });

  test('hold no URC back for longer than two seconds', () => {
    const modem = listening({ urcBetween: 1 });
    modem.receive('x');
    modem.pass(2000);
    expect(modem.printed()).toBe(RECV);
  });

  test('print an unrelated URC before every line', () => {
    const modem = listening({ urcExtra: 1 });
    const extra = line('+QIND: "csq",20,99');
    expect(modem.at('AT+CSQ')).toBe(`${extra}${line('+CSQ: 21,99')}${extra}${OK}`);
  });

  test('print no URC within a header and its payload', () => {
    const modem = listening({ urcExtra: 1, garbage: 1 });
    modem.receive('payload');
    expect(modem.at('AT+QIRD=0')).toContain('\r\n+QIRD: 7,"100.64.0.1",6969\r\npayload\r\n');
  });
});

describe('faults that damage output', () => {
  test('lose a line', () => {
    expect(listening({ lineLoss: [1] }).at('AT+CSQ')).toBe(OK);
  });

  test('lose a byte', () => {
    const modem = listening({ byteLoss: [2] });
    const printed = modem.at('AT+CSQ');
    expect(printed).toHaveLength(`${line('+CSQ: 21,99')}${OK}`.length - 1);
    expect(printed.startsWith(line('+CSQ: 21,99'))).toBe(true);
  });

  test('replace a byte', () => {
    const printed = listening({ byteDamage: [1] }).at('AT+CSQ');
    expect(printed).toHaveLength(`${line('+CSQ: 21,99')}${OK}`.length);
    expect(printed.match(/[\x80-\xff]/g)).toHaveLength(1);
    expect(printed.endsWith(OK)).toBe(true);
  });

  test('print bursts of up to 32 bytes, the same for the same seed', () => {
    const burst = (seed: number) => listening({ garbage: [1] }, { seed }).at('AT+CSQ');
    expect(burst(1)).toBe(burst(1));
    expect(burst(1)).not.toBe(burst(2));
    expect(burst(1).endsWith(`${line('+CSQ: 21,99')}${OK}`)).toBe(true);
    expect(burst(1).length).toBeLessThanOrEqual(32 + `${line('+CSQ: 21,99')}${OK}`.length);
  });

  test.each([
    ['lf', '\n+CSQ: 21,99\n\nOK\n', '\n+QIURC: "recv",0\n'],
    ['doubled-cr', '\r\r\n+CSQ: 21,99\r\r\n\r\r\nOK\r\r\n', '\r\r\n+QIURC: "recv",0\r\r\n'],
  ] as const)('other line ends: %s; never in a payload', (lineEnds, answer, urc) => {
    const modem = listening({ lineEnds });
    expect(modem.at('AT+CSQ')).toBe(answer);
    modem.receive('a\r\nb');
    expect(modem.printed()).toBe(urc);
    expect(modem.at('AT+QIRD=0')).toContain('6969\r\na\r\nb\r\n');
  });

  test('silence the modem, which continues afterwards', () => {
    const modem = listening({ silent: 'yes' });
    expect(modem.at('AT+CSQ')).toBe('');
    modem.setFaults({});
    expect(modem.at('AT+CSQ')).toContain('+CSQ');
  });
});

describe('the chunks of output', () => {
  test('are single lines by default', () => {
    const modem = listening();
    modem.write('AT+CSQ\r');
    expect(modem.chunks).toEqual([line('+CSQ: 21,99'), OK]);
  });

  test('are single bytes with chunks=byte', () => {
    const modem = listening({ chunks: 'byte' });
    modem.write('AT\r');
    expect(modem.chunks).toEqual([...OK]);
  });

  test('are all output until a silence with chunks=all', () => {
    const modem = listening({ chunks: 'all' });
    modem.write('AT+CSQ\r');
    modem.pass(10);
    modem.receive('x');
    modem.pass(15);
    expect(modem.chunks).toEqual([]);
    modem.pass(SOON_MS);
    expect(modem.chunks).toEqual([`${line('+CSQ: 21,99')}${OK}${RECV}`]);
  });
});

describe('modem faults in their written form', () => {
  test.each([
    'none',
    'urcLoss=0.2',
    'urcLoss=#2+5,chunks=byte,prompt=newline',
    'silent=yes,resetAfterSent=100,resetAfterHeard=7,away=2min',
    'error.AT+QIACT=30,error.AT+QIOPEN=3#1+2',
  ])('%s are parsed and formatted', (text) => {
    expect(formatModemFaults(text === 'none' ? resolveModemFaults({}) : parseModemFaults(text))).toBe(text);
  });

  test('resolve to themselves', () => {
    const faults = parseModemFaults('sendFail=#1,error.AT+QIACT=30,error.AT+X=3#2');
    expect(resolveModemFaults(faults)).toEqual(faults);
    expect(faults).toMatchObject({ sendFail: [1], errors: { 'AT+QIACT': { cme: 30 }, 'AT+X': { cme: 3, on: [2] } } });
  });

  test.each([
    'urcLos=1',
    'urcLoss',
    'urcLoss=2',
    'chunks=bit',
    'away=2',
    'away=25h',
    'urcLoss=1,urcLoss=1',
    'error.QIACT=30',
    'error.AT+Q=x',
    '',
  ])('%j are refused', (text) => {
    expect(() => parseModemFaults(text)).toThrow(expect.objectContaining({ code: 'bad-input' }));
  });
});

describe('faults of commands', () => {
  test('fail those with the beginning, all or by number, in the form that AT+CMEE sets', () => {
    const modem = listening({ errors: { 'AT+CS': 30, 'at+cgatt': { cme: 148, on: [2] } } });
    expect(modem.at('AT+CSQ')).toBe(ERROR);
    modem.at('AT+CMEE=1');
    expect(modem.at('AT+CSQ')).toBe(line('+CME ERROR: 30'));
    expect(modem.at('AT+CGATT?')).toContain(OK);
    expect(modem.at('AT+CGATT?')).toBe(line('+CME ERROR: 148'));
    expect(modem.at('AT+CGATT?')).toContain(OK);
  });

  test.each([
    ['usual', '\r\n> ', '\r\n@'],
    ['bare', '\r\n>', '\r\n@'],
    ['space', '\r\n> ', '\r\n@ '],
    ['newline', '\r\n>\r\n', '\r\n@\r\n'],
  ] as const)('the prompt: %s', (prompt, quectel, ublox) => {
    expect(listening({ prompt }).ask('AT+QISEND=0,1,"100.64.0.1",6969\r')).toBe(quectel);
    const other = testModem('ublox', { quirks: { model: 'SARA-R4' }, faults: { prompt } });
    other.at('AT+USOCR=17,6969');
    expect(other.ask('AT+USOST=0,"100.64.0.1",6969,1\r')).toBe(ublox);
  });
});
