import { describe, expect, test } from 'vitest';
import { ERROR, GATEWAY, line, OK, P12, SOON_MS, type TestModemOptions, testModem } from '../support.js';

const LISTEN = 'AT+CASERVER=0,0,"UDP",6969';
const PEER = 'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969';

function active(options: TestModemOptions = {}) {
  const modem = testModem('simcom7080', options);
  modem.at('AT+CNACT=0,1');
  return modem;
}

function listening(options: TestModemOptions = {}) {
  const modem = active(options);
  modem.at(LISTEN);
  return modem;
}

describe('the PDP context of a SIM7080', () => {
  test('is reported by +APP PDP after OK, or before it', () => {
    const modem = testModem('simcom7080');
    expect(modem.at('AT+CNCFG=0,1,"super"')).toBe(OK);
    expect(modem.at('AT+CNACT=0,1')).toBe('\r\nOK\r\n\r\n+APP PDP: 0,ACTIVE\r\n');
    expect(modem.at('AT+CNACT?')).toBe(
      `${['0,1,"10.1.2.3"', '1,0,"0.0.0.0"', '2,0,"0.0.0.0"', '3,0,"0.0.0.0"'].map((text) => line(`+CNACT: ${text}`)).join('')}${OK}`,
    );
    expect(modem.at('AT+CNACT=0,0')).toBe('\r\nOK\r\n\r\n+APP PDP: 0,DEACTIVE\r\n');
    const other = testModem('simcom7080', { quirks: { appPdp: 'first' } });
    expect(other.at('AT+CNACT=0,1')).toBe('\r\n+APP PDP: 0,ACTIVE\r\n\r\nOK\r\n');
  });

  test('loses all sockets with each AT+CNACT', () => {
    const modem = listening();
    expect(modem.at('AT+CASTATE?')).toBe('\r\n+CASTATE: 0,2\r\n\r\nOK\r\n');
    modem.at('AT+CNACT=0,1');
    expect(modem.at('AT+CASTATE?')).toBe(OK);
    expect(modem.receive('lost')).toBe(false);
  });

  test('is lost with all sockets when the network drops it', () => {
    const modem = listening();
    modem.core.dropContext();
    expect(modem.printed()).toBe('\r\n+APP PDP: 0,DEACTIVE\r\n');
    expect(modem.at(LISTEN)).toBe('\r\n+CASERVER: 0,21\r\n\r\nOK\r\n');
  });
});

describe('opening a socket of a SIM7080', () => {
  test('works for a listener and a client', () => {
    const modem = active();
    expect(modem.at(LISTEN)).toBe('\r\n+CASERVER: 0,0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CACFG="LOCALPORT",1,7000')).toBe(OK);
    expect(modem.at('AT+CAOPEN=1,0,"UDP","100.64.0.1",6969')).toBe('\r\n+CAOPEN: 1,0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CASTATE?')).toBe('\r\n+CASTATE: 0,2\r\n\r\n+CASTATE: 1,1\r\n\r\nOK\r\n');
    expect(modem.receive('no', 7000, { address: '100.64.0.1', port: 1 })).toBe(false);
    expect(modem.receive('yes', 7000)).toBe(true);
    expect(modem.printed()).toBe('\r\n+CADATAIND: 1\r\n');
  });

  test.each([
    ['AT+CASERVER=1,0,"UDP",6969', '+CASERVER: 1,12'],
    ['AT+CASERVER=0,0,"UDP",7000', '+CASERVER: 0,1'],
    ['AT+CASERVER=1,0,"TCP",7000', '+CASERVER: 1,7'],
    ['AT+CASERVER=1,0,"UDP",0', '+CASERVER: 1,4'],
    ['AT+CAOPEN=1,0,"UDP","100.64.0.1",0', '+CAOPEN: 1,4'],
  ])('by %s is refused', (command, result) => {
    expect(listening().at(command)).toBe(`\r\n${result}\r\n\r\nOK\r\n`);
  });

  test('fails with 21 without a context', () => {
    const modem = testModem('simcom7080');
    expect(modem.at(LISTEN)).toBe('\r\n+CASERVER: 0,21\r\n\r\nOK\r\n');
    expect(modem.at('AT+CAOPEN=0,0,"UDP","100.64.0.1",6969')).toBe('\r\n+CAOPEN: 0,21\r\n\r\nOK\r\n');
  });
});

describe('receiving with a SIM7080', () => {
  test('prints the header, a comma and the bytes', () => {
    const modem = listening({ quirks: { newPeer: 'cadataind' } });
    modem.receive(P12);
    expect(modem.printed()).toBe('\r\n+CADATAIND: 0\r\n');
    expect(modem.at('AT+CARECV=0,1459')).toBe(`\r\n+CARECV: 12,${P12}\r\n\r\nOK\r\n`);
    expect(modem.at('AT+CARECV=0,1459')).toBe('\r\n+CARECV: 0\r\n\r\nOK\r\n');
  });

  test('prints no further URC until a read found nothing', () => {
    const modem = listening({ quirks: { newPeer: 'cadataind' } });
    modem.receive('one');
    modem.printed();
    modem.receive('two');
    expect(modem.at('AT+CARECV?')).toBe('\r\n+CARECV: 0,6\r\n\r\nOK\r\n');
    modem.at('AT+CARECV=0,1459');
    modem.at('AT+CARECV=0,1459');
    modem.receive('three');
    expect(modem.printed()).toBe('');
    modem.at('AT+CARECV=0,1459');
    modem.at('AT+CARECV=0,1459');
    modem.receive('four');
    expect(modem.printed()).toBe('\r\n+CADATAIND: 0\r\n');
  });

  test('announces a new peer with +CANEW, and its later datagrams without', () => {
    const modem = listening();
    modem.receive('one');
    expect(modem.printed()).toBe('\r\n+CANEW: 0,1,"100.64.0.1",6969\r\n');
    expect(modem.at('AT+CARECV=0,100')).toBe('\r\n+CARECV: 3,one\r\n\r\nOK\r\n');
    modem.at('AT+CARECV=0,100');
    modem.receive('two');
    expect(modem.printed()).toBe('\r\n+CADATAIND: 0\r\n');
  });

  test('gives a new peer its own cid with the quirk canew-new-cid', () => {
    const modem = listening({ quirks: { newPeer: 'canew-new-cid' } });
    modem.receive('one');
    expect(modem.printed()).toBe('\r\n+CANEW: 0,1,"100.64.0.1",6969\r\n');
    expect(modem.at('AT+CARECV=0,100')).toBe('\r\n+CARECV: 0\r\n\r\nOK\r\n');
    expect(modem.at('AT+CARECV=1,100')).toBe('\r\n+CARECV: 3,one\r\n\r\nOK\r\n');
    modem.at('AT+CARECV=1,100');
    modem.receive('two');
    expect(modem.printed()).toBe('\r\n+CADATAIND: 1\r\n');
    modem.receive('three', 6969, { address: '100.64.0.1', port: 7 });
    expect(modem.printed()).toBe('\r\n+CANEW: 0,2,"100.64.0.1",7\r\n');
  });

  test('prints the source after AT+CASRIP, if the firmware knows it', () => {
    const modem = listening();
    expect(modem.at('AT+CASRIP=1')).toBe(OK);
    modem.receive(P12);
    modem.printed();
    expect(modem.at('AT+CARECV=0,1459')).toBe(`\r\n+CARECV: 100.64.0.1,6969,12,${P12}\r\n\r\nOK\r\n`);
    expect(listening({ quirks: { casrip: 'no' } }).at('AT+CASRIP=1')).toBe(ERROR);
  });

  test('reads a long datagram in parts, and refuses to read more than 1459 bytes', () => {
    const modem = listening({ quirks: { trailer: 'plain' } });
    modem.receive('abcdef');
    modem.printed();
    expect(modem.at('AT+CARECV=0,4')).toBe('\r\n+CARECV: 4,abcd\r\nOK\r\n');
    expect(modem.at('AT+CARECV=0,4')).toBe('\r\n+CARECV: 2,ef\r\nOK\r\n');
    expect(modem.at('AT+CARECV=0,1460')).toBe(ERROR);
  });

  test('prints the data with the URC in push mode', () => {
    const modem = active();
    modem.at('AT+CASERVER=0,0,"UDP",6969,1');
    modem.receive(P12);
    expect(modem.printed()).toBe(`\r\n+CAURC: "recv",0,12\r\n${P12}\r\n`);
    modem.at('AT+CASRIP=1');
    modem.receive(P12);
    expect(modem.printed()).toBe(`\r\n+CAURC: "recv",0,12,100.64.0.1,6969\r\n${P12}\r\n`);
  });
});

describe('sending with a SIM7080', () => {
  test('by a listener needs its peer first', () => {
    const modem = listening();
    expect(modem.at('AT+CASEND=0,12')).toBe(ERROR);
    expect(modem.at(PEER)).toBe(OK);
    expect(modem.ask('AT+CASEND=0,12\r')).toBe('\r\n>');
    expect(modem.ask(P12)).toBe(OK);
    expect(modem.sent).toEqual([{ bytes: P12, port: 6969, destination: GATEWAY }]);
    expect(modem.at('AT+CASEND=0')).toBe('\r\n+CASEND: 1459\r\n\r\nOK\r\n');
    expect(modem.at('AT+CAACK=0')).toBe('\r\n+CAACK: 0,0\r\n\r\nOK\r\n');
  });

  test.each([
    ['line-first', `${line('+CASEND: 0,0,1')}${OK}`],
    ['line-last', `${OK}${line('+CASEND: 0,0,1')}`],
  ])('is confirmed as the quirk sent=%s says', (sent, answer) => {
    const modem = listening({ quirks: { sent } });
    modem.at(PEER);
    modem.ask('AT+CASEND=0,1\r');
    expect(modem.ask('x')).toBe(answer);
  });

  test('takes at most 1459 bytes', () => {
    const modem = listening();
    modem.at(PEER);
    expect(modem.at('AT+CASEND=0,1460')).toBe(ERROR);
    modem.ask('AT+CASEND=0,1459\r');
    expect(modem.ask('x'.repeat(1459))).toBe(OK);
  });

  test('waits five seconds for the bytes, or as long as the command says', () => {
    const modem = listening();
    modem.at(PEER);
    modem.ask('AT+CASEND=0,2\rx');
    modem.pass(4990);
    expect(modem.printed()).toBe('');
    modem.pass(20);
    expect(modem.printed()).toBe(ERROR);
    modem.ask('AT+CASEND=0,2,100\rx');
    modem.pass(110);
    expect(modem.printed()).toBe(ERROR);
    expect(modem.sent).toEqual([]);
  });

  test('fails by the fault sendBusy before the prompt, and by sendFail after the bytes', () => {
    const modem = listening({ faults: { sendBusy: [1], sendFail: [1] } });
    modem.at(PEER);
    expect(modem.at('AT+CASEND=0,1')).toBe(ERROR);
    modem.ask('AT+CASEND=0,1\r');
    expect(modem.ask('x')).toBe(ERROR);
  });
});

test('a SIM7080 socket is closed by the host or by the network', () => {
  const modem = listening();
  expect(modem.core.closeSocket(undefined)).toBe(true);
  expect(modem.printed()).toBe('\r\n+CASTATE: 0,0\r\n');
  expect(modem.at('AT+CASTATE?')).toBe('\r\n+CASTATE: 0,0\r\n\r\nOK\r\n');
  expect(modem.at(LISTEN)).toBe('\r\n+CASERVER: 0,1\r\n\r\nOK\r\n');
  expect(modem.at('AT+CACLOSE=0')).toBe(OK);
  expect(modem.at('AT+CACLOSE=0')).toBe(ERROR);
  expect(modem.at(LISTEN)).toBe('\r\n+CASERVER: 0,0\r\n\r\nOK\r\n');
});

test('a SIM7080 does not answer the first two lines while it detects the baud rate', () => {
  const modem = testModem('simcom7080', { fresh: true });
  modem.pass(SOON_MS);
  modem.printed();
  expect(modem.ask('AT\r')).toBe('');
  expect(modem.ask('AT\r')).toBe('');
  expect(modem.ask('AT\r')).toBe('AT\r\r\nOK\r\n');
});
