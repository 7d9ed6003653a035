import { describe, expect, test } from 'vitest';
import { ERROR, GATEWAY, line, OK, P12, SOON_MS, type TestModemOptions, testModem } from '../support.js';

const OPEN = 'AT+CIPOPEN=0,"UDP",,,6969';
const ipError = (text: string) => `\r\n+IP ERROR: ${text}\r\n\r\nERROR\r\n`;

function netOpen(options: TestModemOptions = {}) {
  const modem = testModem('simcom7600', options);
  for (const command of ['AT+CIPMODE=0', 'AT+CIPSRIP=1', 'AT+CIPHEAD=1', 'AT+CIPRXGET=0', 'AT+NETOPEN'])
    modem.at(command);
  return modem;
}

function listening(options: TestModemOptions = {}) {
  const modem = netOpen(options);
  modem.at(OPEN);
  return modem;
}

describe('the network of a SIM7600', () => {
  test('opens once, some time after OK', () => {
    const modem = testModem('simcom7600');
    expect(modem.at('AT+CSOCKSETPN=1')).toBe(OK);
    expect(modem.at('AT+NETOPEN?')).toBe('\r\n+NETOPEN: 0\r\n\r\nOK\r\n');
    expect(modem.at('AT+IPADDR')).toBe(ipError('Network not opened'));
    expect(modem.ask('AT+NETOPEN\r')).toBe(OK);
    modem.pass(SOON_MS);
    expect(modem.printed()).toBe('\r\n+NETOPEN: 0\r\n');
    expect(modem.at('AT+NETOPEN?')).toBe('\r\n+NETOPEN: 1\r\n\r\nOK\r\n');
    expect(modem.at('AT+IPADDR')).toBe('\r\n+IPADDR: 10.1.2.3\r\n\r\nOK\r\n');
    expect(modem.at('AT+NETOPEN')).toBe(ipError('Network is already opened'));
  });

  test('closes with all sockets', () => {
    const modem = listening();
    expect(modem.at('AT+NETCLOSE')).toBe(`${OK}${line('+CIPCLOSE: 0,0')}${line('+NETCLOSE: 0')}`);
    expect(modem.at('AT+NETCLOSE')).toBe(ipError('Network is already closed'));
  });

  test('cannot be opened while the modem is not attached', () => {
    const modem = testModem('simcom7600');
    modem.persistent.network = 'searching';
    modem.core.refresh();
    expect(modem.at('AT+NETOPEN')).toBe(`${OK}${line('+NETOPEN: 1')}`);
  });

  test('is unusable after a loss until it is closed and opened', () => {
    const modem = listening();
    modem.core.dropContext();
    expect(modem.printed()).toBe('\r\n+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY\r\n');
    expect(modem.receive('lost')).toBe(false);
    expect(modem.at('AT+NETOPEN')).toBe(ipError('Network is already opened'));
    expect(modem.at('AT+CIPOPEN=1,"UDP",,,7000')).toBe('\r\n+CIPOPEN: 1,1\r\n\r\nERROR\r\n');
    modem.ask('AT+CIPSEND=0,1,"100.64.0.1",6969\r');
    expect(modem.ask('x')).toBe(`${OK}${line('+CIPSEND: 0,1,-1')}`);
    expect(modem.at('AT+CIPCLOSE=0')).toContain(OK);
    modem.at('AT+NETCLOSE');
    expect(modem.at('AT+NETOPEN')).toBe(`${OK}${line('+NETOPEN: 0')}`);
    expect(modem.at(OPEN)).toBe('\r\n+CIPOPEN: 0,0\r\n\r\nOK\r\n');
  });
});

describe('opening a socket of a SIM7600', () => {
  test('prints the line before OK', () => {
    expect(netOpen().at(OPEN)).toBe('\r\n+CIPOPEN: 0,0\r\n\r\nOK\r\n');
    expect(netOpen({ quirks: { order: 'ok-first' } }).at(OPEN)).toBe('\r\nOK\r\n\r\n+CIPOPEN: 0,0\r\n');
  });

  test('is refused with a remote end but no local port', () => {
    expect(netOpen().at('AT+CIPOPEN=1,"UDP","100.64.0.1",6969')).toBe('\r\n+CIPOPEN: 1,3\r\n\r\nERROR\r\n');
  });

  test('is refused with an unknown type, id or port in use', () => {
    expect(testModem('simcom7600').at(OPEN)).toBe('\r\n+CIPOPEN: 0,2\r\n\r\nERROR\r\n');
    const modem = listening();
    expect(modem.at(OPEN)).toBe(ipError('Connection is already created'));
    expect(modem.at('AT+CIPOPEN=1,"UDP",,,6969')).toBe('\r\n+CIPOPEN: 1,6\r\n\r\nERROR\r\n');
    expect(modem.at('AT+CIPOPEN=10,"UDP",,,7000')).toBe(ipError('Invalid parameter'));
  });

  test('fails in the first second after NETOPEN with the quirk settles', () => {
    const modem = testModem('simcom7600', { quirks: { settles: 'yes' } });
    modem.at('AT+NETOPEN');
    expect(modem.at(OPEN)).toBe('\r\n+CIPOPEN: 0,2\r\n\r\nERROR\r\n');
    modem.pass(1000);
    expect(modem.at(OPEN)).toBe('\r\n+CIPOPEN: 0,0\r\n\r\nOK\r\n');
  });
});

describe('receiving with a SIM7600', () => {
  test('prints the data with their source', () => {
    const modem = listening();
    modem.receive(P12);
    expect(modem.printed()).toBe(`\r\nRECV FROM:100.64.0.1:6969\r\n+IPD12\r\n${P12}\r\n`);
  });

  test('prints raw data without AT+CIPSRIP and AT+CIPHEAD', () => {
    const modem = listening();
    modem.at('AT+CIPSRIP=0');
    modem.receive('raw');
    expect(modem.printed()).toBe('\r\n+IPD3\r\nraw\r\n');
    modem.at('AT+CIPHEAD=0');
    modem.receive('raw');
    expect(modem.printed()).toBe('\r\nraw\r\n');
    expect(modem.at('AT+CIPSRIP?')).toBe('\r\n+CIPSRIP: 0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CIPHEAD?')).toBe('\r\n+CIPHEAD: 0\r\n\r\nOK\r\n');
  });

  test('prints the socket’s number in the other header', () => {
    const modem = listening();
    expect(modem.at('AT+CIPCCFG=10,0,0,0,1,0,75000')).toBe(OK);
    modem.receive(P12);
    expect(modem.printed()).toBe(`\r\nRECV FROM:100.64.0.1:6969\r\n+RECEIVE,0,12:\r\n${P12}\r\n`);
  });

  test('in manual mode announces data once, counts them, and reads them as a stream', () => {
    const modem = listening();
    expect(modem.at('AT+CIPRXGET=2,0,1500')).toBe(ipError('Operation not supported'));
    modem.at('AT+CIPRXGET=1');
    modem.receive(P12);
    modem.receive('more');
    expect(modem.printed()).toBe('\r\n+CIPRXGET: 1,0\r\n');
    expect(modem.at('AT+CIPRXGET=4,0')).toBe('\r\n+CIPRXGET: 4,0,16\r\n\r\nOK\r\n');
    expect(modem.at('AT+CIPRXGET=2,0,12')).toBe(`\r\n+CIPRXGET: 2,0,12,4\r\n${P12}\r\n\r\nOK\r\n`);
    modem.receive('!');
    expect(modem.printed()).toBe('');
    expect(modem.at('AT+CIPRXGET=2,0,1500')).toBe('\r\n+CIPRXGET: 2,0,5,0\r\nmore!\r\n\r\nOK\r\n');
    expect(modem.at('AT+CIPRXGET=2,0,1500')).toBe(ipError('No data'));
    modem.receive('again');
    expect(modem.printed()).toBe('\r\n+CIPRXGET: 1,0\r\n');
  });

  test('in manual mode reads at most 750 bytes as hexadecimal digits', () => {
    const modem = listening();
    modem.at('AT+CIPRXGET=1');
    modem.receive('\x00\xffA');
    modem.printed();
    expect(modem.at('AT+CIPRXGET=3,0,751')).toBe(ipError('Invalid parameter'));
    expect(modem.at('AT+CIPRXGET=3,0,750')).toBe('\r\n+CIPRXGET: 3,0,3,0\r\n00FF41\r\n\r\nOK\r\n');
  });
});

describe('sending with a SIM7600', () => {
  test('prints a prompt, and after the bytes OK and their count', () => {
    const modem = listening();
    expect(modem.ask('AT+CIPSEND=0,12,"100.64.0.1",6969\r')).toBe('\r\n>');
    expect(modem.ask(P12)).toBe('\r\nOK\r\n\r\n+CIPSEND: 0,12,12\r\n');
    expect(modem.sent).toEqual([{ bytes: P12, port: 6969, destination: GATEWAY }]);
  });

  test('echoes the bytes like all input', () => {
    const modem = listening();
    modem.at('ATE1');
    modem.ask('AT+CIPSEND=0,12,"100.64.0.1",6969\r');
    expect(modem.ask(P12)).toBe(`${P12}\r\nOK\r\n\r\n+CIPSEND: 0,12,12\r\n`);
  });

  test.each([
    ['AT+CIPSEND=0,1501,"100.64.0.1",6969', 3],
    ['AT+CIPSEND=0,12', 3],
    ['AT+CIPSEND=1,12,"100.64.0.1",6969', 4],
  ])('by %s fails with %i', (command, code) => {
    expect(listening().at(command)).toBe(`\r\n+CIPERROR: ${code}\r\n\r\nERROR\r\n`);
  });

  test('fails by the faults sendBusy and sendFail', () => {
    const modem = listening({ faults: { sendBusy: [1], sendFail: [1] } });
    expect(modem.at('AT+CIPSEND=0,1,"100.64.0.1",6969')).toBe('\r\n+CIPERROR: 8\r\n\r\nERROR\r\n');
    modem.ask('AT+CIPSEND=0,1,"100.64.0.1",6969\r');
    expect(modem.ask('x')).toBe('\r\n+CIPERROR: 1\r\n\r\nERROR\r\n');
    expect(modem.sent).toEqual([]);
  });
});

test('a SIM7600 socket is closed by the host or by the network', () => {
  const modem = listening();
  expect(modem.at('AT+CIPCLOSE?')).toBe('\r\n+CIPCLOSE: 1,0,0,0,0,0,0,0,0,0\r\n\r\nOK\r\n');
  expect(modem.at('AT+CIPCLOSE=0')).toBe('\r\n+CIPCLOSE: 0,0\r\n\r\nOK\r\n');
  expect(modem.at('AT+CIPCLOSE=0')).toBe('\r\n+CIPCLOSE: 0,4\r\n\r\nERROR\r\n');
  modem.at(OPEN);
  expect(modem.core.closeSocket(0)).toBe(true);
  expect(modem.printed()).toBe('\r\n+IPCLOSE: 0,1\r\n');
  expect(modem.core.closeSocket(0)).toBe(false);
});

test('an A7670 prints a space after the prompt, and *ATREADY at the start', () => {
  const quirks = { model: 'A7670' };
  const modem = listening({ quirks });
  expect(modem.ask('AT+CIPSEND=0,1,"100.64.0.1",6969\r')).toBe('\r\n> ');
  modem.ask('x');
  expect(modem.at('AT+CSOCKSETPN=1')).toBe(ERROR);
  expect(modem.at('AT+CGPADDR=1')).toBe('\r\n+CGPADDR: 1,10.1.2.3\r\n\r\nOK\r\n');
  const fresh = testModem('simcom7600', { fresh: true, quirks });
  fresh.pass(SOON_MS);
  expect(fresh.printed()).toContain('\r\n*ATREADY: 1\r\n');
});
