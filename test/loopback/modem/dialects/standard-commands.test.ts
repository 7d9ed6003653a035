import { describe, expect, test } from 'vitest';
import { DIALECT_NAMES } from '../../../../loopback/modem/dialects/index.js';
import { ERROR, line, OK, SOON_MS, testModem } from '../support.js';

const echoing = () => {
  const modem = testModem('quectel');
  modem.at('ATE1');
  return modem;
};

describe('the command line', () => {
  test('is echoed until ATE0, which is still echoed itself', () => {
    const modem = testModem('quectel', { fresh: true });
    modem.pass(SOON_MS);
    modem.printed();
    expect(modem.at('AT+CSQ')).toBe('AT+CSQ\r\r\n+CSQ: 21,99\r\n\r\nOK\r\n');
    expect(modem.at('ATE0')).toBe('ATE0\r\r\nOK\r\n');
    expect(modem.at('AT+CSQ')).toBe('\r\n+CSQ: 21,99\r\n\r\nOK\r\n');
    expect(modem.at('ATE1')).toBe(OK);
    expect(modem.at('AT')).toBe('AT\r\r\nOK\r\n');
  });

  test('may end with a line feed, which is echoed and ignored', () => {
    expect(echoing().ask('AT+CGMM\r\n')).toBe('AT+CGMM\r\n\r\nBG96\r\n\r\nOK\r\n');
  });

  test('may arrive in any pieces', () => {
    const modem = echoing();
    expect([...'AT+CSQ\r'].map((byte) => modem.ask(byte)).join('')).toBe('AT+CSQ\r\r\n+CSQ: 21,99\r\n\r\nOK\r\n');
  });

  test('is edited by backspaces, and ignored before AT', () => {
    const modem = testModem('quectel');
    expect(modem.at('AT+CSX\bQ')).toBe('\r\n+CSQ: 21,99\r\n\r\nOK\r\n');
    expect(modem.at('\x1a\0at')).toBe(OK);
    expect(modem.at('hello')).toBe('');
  });

  test('has one result for several commands, of which the first that fails is the last', () => {
    const modem = testModem('simcom7080');
    expect(modem.at('AT+CMEE=2;+CMGF=1;+CMGD=,4;+CNMP=38;+CMNB=1;+CGDCONT=1,"IP","super"')).toBe(OK);
    expect(modem.at('AT+CSQ;+CGATT?')).toBe('\r\n+CSQ: 21,99\r\n\r\n+CGATT: 1\r\n\r\nOK\r\n');
    expect(modem.at('AT+CGATT=7;+CSQ')).toBe('\r\n+CME ERROR: incorrect parameters\r\n');
    expect(modem.at('ATE0V1;&D0')).toBe(OK);
  });

  test('ends with ERROR when it is too long', () => {
    expect(testModem('quectel').at(`AT+CSQ${'x'.repeat(3000)}`)).toBe(ERROR);
  });

  test('waits for the command before it', () => {
    const modem = testModem('quectel');
    expect(modem.ask('AT+QIACT=1\rAT+CSQ\r')).toBe('');
    modem.pass(SOON_MS);
    expect(modem.printed()).toBe('\r\nOK\r\n\r\n+CSQ: 21,99\r\n\r\nOK\r\n');
  });
});

test('ends with an error in the form that AT+CMEE sets', () => {
  const modem = testModem('ublox');
  expect(modem.at('AT+NOSUCH')).toBe(ERROR);
  expect(modem.at('AT+CMEE=1')).toBe(OK);
  expect(modem.at('AT+NOSUCH')).toBe(line('+CME ERROR: 100'));
  expect(modem.at('AT+CMEE=2')).toBe(OK);
  expect(modem.at('AT+NOSUCH')).toBe(line('+CME ERROR: unknown'));
  expect(modem.at('AT+CMEE?')).toBe('\r\n+CMEE: 2\r\n\r\nOK\r\n');
  expect(modem.at('AT+CMEE=3')).toBe(line('+CME ERROR: incorrect parameters'));
});

describe.each(DIALECT_NAMES)('the standard commands of %s', (dialect) => {
  test('report the identity, the location and the signal of the modem', () => {
    const modem = testModem(dialect);
    for (const [command, answer] of [
      ['AT+CPIN?', '+CPIN: READY'],
      ['AT+CGSN', '863427000000017'],
      ['AT+CEREG?', '+CEREG: 0,5'],
      ['AT+CREG?', '+CREG: 0,5'],
      ['AT+CSQ', '+CSQ: 21,99'],
      ['AT+CESQ', '+CESQ: 99,99,255,255,20,44'],
      ['AT+COPS?', '+COPS: 0,2,"23415",7'],
      ['AT+CGATT?', '+CGATT: 1'],
      ['AT+CGPADDR=1', '+CGPADDR: 1,"10.1.2.3"'],
      ['AT+CFUN?', '+CFUN: 1'],
    ]) {
      expect(modem.at(command ?? '')).toBe(`\r\n${answer}\r\n\r\nOK\r\n`);
    }
    modem.persistent.dbm = undefined;
    expect(modem.at('AT+CSQ')).toBe('\r\n+CSQ: 99,99\r\n\r\nOK\r\n');
  });

  test('ask for the PIN, and register after it was entered', () => {
    const modem = testModem(dialect);
    modem.at('AT+CMEE=1');
    modem.persistent.sim = 'pin';
    modem.core.refresh();
    modem.pass(SOON_MS);
    modem.printed();
    expect(modem.at('AT+CPIN?')).toBe('\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n');
    expect(modem.at('AT+CGATT?')).toBe(line('+CME ERROR: 11'));
    expect(modem.core.attached()).toBe(false);
    expect(modem.at('AT+CPIN="0000"')).toBe(line('+CME ERROR: 16'));
    expect(modem.at('AT+CPIN="1234"')).toContain(OK);
    expect(modem.core.attached()).toBe(true);
  });

  test('want the PUK after three wrong PINs', () => {
    const modem = testModem(dialect);
    modem.persistent.sim = 'pin';
    for (const pin of ['1', '2', '3', '1234']) modem.at(`AT+CPIN="${pin}"`);
    expect(modem.at('AT+CPIN?')).toBe('\r\n+CPIN: SIM PUK\r\n\r\nOK\r\n');
  });

  test.each([
    ['absent', 10],
    ['failure', 13],
  ] as const)('a SIM that is %s is error %i', (sim, code) => {
    const modem = testModem(dialect);
    modem.at('AT+CMEE=1');
    modem.persistent.sim = sim;
    expect(modem.at('AT+CPIN?')).toBe(line(`+CME ERROR: ${code}`));
    expect(modem.at('AT+COPS?')).toBe(line(`+CME ERROR: ${code}`));
  });

  test('report the registration in the form that was set', () => {
    const modem = testModem(dialect);
    modem.at('AT+CEREG=1;+CGREG=2');
    modem.persistent.network = 'denied';
    modem.core.refresh();
    expect(modem.printed()).toContain('\r\n+CGREG: 3\r\n\r\n+CEREG: 3\r\n');
    expect(modem.core.attached()).toBe(false);
    expect(modem.at('AT+COPS?')).toBe('\r\n+COPS: 0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CGPADDR=1')).toBe('\r\n+CGPADDR: 1,"0.0.0.0"\r\n\r\nOK\r\n');
    modem.persistent.network = 'home';
    modem.core.refresh();
    modem.pass(SOON_MS);
    expect(modem.printed()).toBe(
      ['+CGREG: 2', '+CEREG: 2', '+CGREG: 1,"1A2B","01C3D4E5",7', '+CEREG: 1'].map(line).join(''),
    );
  });

  test('switch the radio off with CFUN=4, and on with CFUN=1', () => {
    const modem = testModem(dialect);
    expect(modem.at('AT+CFUN=4')).toContain(OK);
    expect(modem.at('AT+CEREG?')).toBe('\r\n+CEREG: 0,0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CSQ')).toBe('\r\n+CSQ: 99,99\r\n\r\nOK\r\n');
    expect(modem.attached.at(-1)).toBe(false);
    modem.at('AT+CFUN=1');
    expect(modem.attached.at(-1)).toBe(true);
    expect(modem.core.attached()).toBe(true);
  });

  test('restart the modem with CFUN=1,1', () => {
    const modem = testModem(dialect);
    expect(modem.at('AT+CFUN=1,1')).toContain(OK);
    expect(modem.restarts()).toBe(1);
  });

  test('are ignored while the modem starts, and find the SIM later', () => {
    const modem = testModem(dialect, { fresh: true });
    expect(modem.ask('AT\r')).toBe('');
    modem.pass(101);
    expect(modem.printed()).toMatch(/^\xff\xff\0\xfe\xff(\r\nRDY\r\n|\r\n\*ATREADY: 1\r\n|\0\0)$/);
    modem.write('AT\rAT\rATE0\r');
    modem.printed();
    modem.write('AT+CMEE=1\r');
    modem.printed();
    expect(modem.ask('AT+CPIN?\r')).toBe(line('+CME ERROR: 14'));
  });

  test('keep the definition of a context over a restart', () => {
    const modem = testModem(dialect);
    expect(modem.at('AT+CGDCONT=1,"IP","super"')).toBe(OK);
    expect(modem.at('AT+CGDCONT?')).toBe('\r\n+CGDCONT: 1,"IP","super","0.0.0.0",0,0\r\n\r\nOK\r\n');
    expect(modem.persistent.contexts.get(1)).toEqual({ type: 'IP', apn: 'super' });
  });
});

test.each([
  ['quectel', 'AT+QCCID', '+QCCID: 89883070000001234567'],
  ['simcom7600', 'AT+CICCID', '+ICCID: 89883070000001234567'],
  ['simcom7080', 'AT+CCID', '89883070000001234567'],
  ['ublox', 'AT+CCID', '+CCID: 89883070000001234567'],
] as const)('%s: %s', (dialect, command, answer) => {
  expect(testModem(dialect).at(command)).toBe(`\r\n${answer}\r\n\r\nOK\r\n`);
});

test('a Quectel modem pads a short ICCID', () => {
  expect(testModem('quectel', { iccid: '8988307000000123456' }).at('AT+QCCID')).toContain(': 8988307000000123456F\r\n');
});

test.each([
  ['quectel', ['RDY', '+CFUN: 1', '+CPIN: READY', '+QUSIM: 1', '+QIND: SMS DONE'].map(line).join('')],
  ['simcom7600', ['RDY', '+CPIN: READY', 'SMS DONE', 'PB DONE'].map(line).join('')],
  ['simcom7080', ['RDY', '+CFUN: 1', '+CPIN: READY', 'SMS DONE', 'PB DONE'].map(line).join('')],
  ['ublox', '\0\0'],
] as const)('%s: what it says by itself after power-on', (dialect, text) => {
  const modem = testModem(dialect, { fresh: true });
  modem.pass(SOON_MS);
  expect(modem.printed()).toBe(`\xff\xff\0\xfe\xff${text}`);
});

test('a SIMCom modem prints its SIM’s status when the radio is switched off and on', () => {
  const modem = testModem('simcom7600');
  expect(modem.at('AT+CFUN=0')).toBe(`${OK}${line('+CPIN: NOT READY')}`);
  expect(modem.at('AT+CFUN=1')).toBe(`${OK}${line('+CPIN: READY')}`);
});
