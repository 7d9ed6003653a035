import { describe, expect, test } from 'vitest';
import { ERROR, GATEWAY, line, OK, P12, SOON_MS, type TestModemOptions, testModem } from '../support.js';

const OPEN = 'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0';

/** A modem with an active context and without data echo. */
function active(options: TestModemOptions = {}) {
  const modem = testModem('quectel', options);
  modem.at('AT+QISDE=0');
  modem.at('AT+QIACT=1');
  return modem;
}

function listening(options: TestModemOptions = {}) {
  const modem = active(options);
  modem.at(OPEN);
  return modem;
}

const lastError = (modem: ReturnType<typeof testModem>) => modem.at('AT+QIGETERROR').split('\r\n')[1];

describe('the PDP context of a Quectel modem', () => {
  test('is reported, activated once, and deactivated', () => {
    const modem = testModem('quectel');
    expect(modem.at('AT+QICSGP=1,1,"super","","",0')).toBe(OK);
    expect(modem.at('AT+QIACT?')).toBe(OK);
    expect(modem.at('AT+QIACT=1')).toBe(OK);
    expect(modem.at('AT+QIACT?')).toBe('\r\n+QIACT: 1,1,1,"10.1.2.3"\r\n\r\nOK\r\n');
    expect(modem.at('AT+QIACT=1')).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 561,open PDP context failed');
    expect(modem.at('AT+QIDEACT=1')).toBe(OK);
    expect(modem.at('AT+QIACT?')).toBe(OK);
  });

  test('is refused with another APN, or without a network', () => {
    const modem = testModem('quectel');
    modem.at('AT+QICSGP=1,1,"internet","","",0');
    expect(modem.at('AT+QIACT=1')).toBe(ERROR);
    modem.at('AT+QICSGP=1,1,"super","","",0');
    modem.persistent.network = 'searching';
    modem.core.refresh();
    expect(modem.at('AT+QIACT=1')).toBe(ERROR);
  });

  test('is lost with all sockets when the network drops it', () => {
    const modem = listening();
    modem.core.dropContext();
    expect(modem.printed()).toBe('\r\n+QIURC: "pdpdeact",1\r\n');
    expect(modem.at('AT+QIACT?')).toBe(OK);
    expect(modem.at('AT+QIRD=0')).toBe(ERROR);
    expect(modem.receive('lost')).toBe(false);
    modem.at('AT+QIDEACT=1');
    modem.at('AT+QIACT=1');
    expect(modem.at(OPEN)).toBe('\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n');
  });
});

describe('opening a socket of a Quectel modem', () => {
  test('answers OK, and has the result of a listener later', () => {
    const modem = active();
    expect(modem.ask(`${OPEN}\r`)).toBe(OK);
    modem.pass(SOON_MS);
    expect(modem.printed()).toBe('\r\n+QIOPEN: 0,0\r\n');
    expect(modem.at('AT+QISTATE=1,0')).toBe(
      '\r\n+QISTATE: 0,"UDP SERVICE","10.1.2.3",0,6969,2,1,0,0,"usbat"\r\n\r\nOK\r\n',
    );
  });

  test.each([
    ['an id in use', 563, OPEN],
    ['a port in use', 556, OPEN.replace('=1,0,', '=1,1,')],
  ])('of %s fails with %i', (_, code, command) => {
    const id = command === OPEN ? 0 : 1;
    expect(listening().at(command)).toBe(`\r\nOK\r\n\r\n+QIOPEN: ${id},${code}\r\n`);
  });

  test('fails with 561 without a context', () => {
    expect(testModem('quectel').at(OPEN)).toBe('\r\nOK\r\n\r\n+QIOPEN: 0,561\r\n');
  });

  test.each([
    OPEN.replace('=1,0,', '=1,12,'),
    OPEN.replace('UDP SERVICE', 'SCTP'),
    OPEN.replace('6969,0', '0,0'),
    OPEN.replace('6969,0', '6969,2'),
  ])('by %s is refused', (command) => {
    const modem = active();
    expect(modem.at(command)).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 552,invalid parameters');
  });

  test('makes a client that receives only from its peer, and reads without an address', () => {
    const modem = active();
    expect(modem.at('AT+QIOPEN=1,2,"UDP","100.64.0.1",6969,7000,0')).toBe('\r\nOK\r\n\r\n+QIOPEN: 2,0\r\n');
    expect(modem.receive('no', 7000, { address: '100.64.0.1', port: 5000 })).toBe(false);
    expect(modem.receive('yes', 7000)).toBe(true);
    expect(modem.printed()).toBe('\r\n+QIURC: "recv",2\r\n');
    expect(modem.at('AT+QIRD=2')).toBe('\r\n+QIRD: 3\r\nyes\r\n\r\nOK\r\n');
    modem.write('AT+QISEND=2,4\r');
    expect(modem.printed()).toBe('\r\n> ');
    expect(modem.ask('pong')).toBe('\r\nSEND OK\r\n');
    expect(modem.at('AT+QISENDEX=2,"001A"')).toBe('\r\nSEND OK\r\n');
    expect(modem.sent).toEqual([
      { bytes: 'pong', port: 7000, destination: GATEWAY },
      { bytes: '\x00\x1a', port: 7000, destination: GATEWAY },
    ]);
  });
});

describe('receiving with a Quectel modem', () => {
  test('passes a payload that looks like line ends, results and URCs', () => {
    const modem = listening();
    modem.receive(P12);
    expect(modem.printed()).toBe('\r\n+QIURC: "recv",0\r\n');
    expect(modem.at('AT+QIRD=0')).toBe(`\r\n+QIRD: 12,"100.64.0.1",6969\r\n${P12}\r\n\r\nOK\r\n`);
    expect(modem.at('AT+QIRD=0')).toBe('\r\n+QIRD: 0\r\n\r\nOK\r\n');
  });

  test('prints no further URC until a read found nothing', () => {
    const modem = listening();
    for (const text of ['one', 'two']) modem.receive(text);
    expect(modem.printed()).toBe('\r\n+QIURC: "recv",0\r\n');
    expect(modem.at('AT+QIRD=0,0')).toBe('\r\n+QIRD: 6,0,6\r\n\r\nOK\r\n');
    expect(modem.at('AT+QIRD=0')).toContain('one');
    expect(modem.at('AT+QIRD=0')).toContain('two');
    modem.receive('three');
    expect(modem.printed()).toBe('');
    expect(modem.at('AT+QIRD=0,0')).toBe('\r\n+QIRD: 11,6,5\r\n\r\nOK\r\n');
    expect(modem.at('AT+QIRD=0')).toContain('three');
    expect(modem.at('AT+QIRD=0')).toContain('+QIRD: 0\r\n');
    modem.receive('four');
    expect(modem.printed()).toBe('\r\n+QIURC: "recv",0\r\n');
  });

  test('reads 1300 bytes at once', () => {
    const modem = listening();
    modem.receive('x'.repeat(1300));
    modem.printed();
    expect(modem.at('AT+QIRD=0')).toBe(`\r\n+QIRD: 1300,"100.64.0.1",6969\r\n${'x'.repeat(1300)}\r\n\r\nOK\r\n`);
  });

  test('prints the data with the URC in push mode, where they cannot be read', () => {
    const modem = active();
    modem.at(OPEN.replace('6969,0', '6969,1'));
    modem.receive(P12);
    expect(modem.printed()).toBe(`\r\n+QIURC: "recv",0,12,"100.64.0.1",6969\r\n${P12}\r\n`);
    expect(modem.at('AT+QIRD=0')).toBe(ERROR);
  });

  test('depends on quirks and settings', () => {
    const modem = listening({ quirks: { trailer: 'plain', urcSpace: 'no' } });
    expect(modem.at('AT+QICFG="recvind",1')).toBe(OK);
    expect(modem.at('AT+QICFG="recvind"')).toBe('\r\n+QICFG: "recvind",1\r\n\r\nOK\r\n');
    modem.receive('NUM=1234');
    expect(modem.printed()).toBe('\r\n+QIURC:"recv",0,8\r\n');
    expect(modem.at('AT+QIRD=0')).toBe('\r\n+QIRD: 8,"100.64.0.1",6969\r\nNUM=1234\r\nOK\r\n');
    modem.at('AT+QICFG="dataformat",0,1');
    modem.at('AT+QICFG="viewmode",1');
    modem.receive('\x00\xff');
    modem.printed();
    expect(modem.at('AT+QIRD=0')).toBe('\r\n+QIRD: 2,"100.64.0.1",6969,00FF\r\nOK\r\n');
  });

  test('prints URCs on the configured port', () => {
    const modem = listening();
    expect(modem.at('AT+QURCCFG="urcport"')).toBe('\r\n+QURCCFG: "urcport","usbat"\r\n\r\nOK\r\n');
    expect(modem.at('AT+QURCCFG="urcport","usbmodem"')).toBe(OK);
    modem.receive('unheard');
    expect(modem.printed()).toBe('');
    expect(modem.notes).toHaveLength(1);
    expect(modem.at('AT+QIRD=0')).toContain('unheard');
  });

  test('discards datagrams when too many are unread', () => {
    const modem = listening();
    for (let count = 0; count < 40; count += 1) expect(modem.receive('x'.repeat(1300))).toBe(true);
    expect(modem.core.sockets()).toEqual([{ id: 0, port: 6969, waiting: 25 }]);
    expect(modem.notes).toHaveLength(15);
  });
});

describe('sending with a Quectel modem', () => {
  test('takes as many bytes as announced, of any value', () => {
    const modem = listening();
    expect(modem.ask('AT+QISEND=0,12,"100.64.0.1",6969\r')).toBe('\r\n> ');
    expect(modem.ask(P12.slice(0, 5))).toBe('');
    expect(modem.ask(P12.slice(5))).toBe('\r\nSEND OK\r\n');
    expect(modem.sent).toEqual([{ bytes: P12, port: 6969, destination: GATEWAY }]);
    expect(modem.at('\x1aAT')).toBe(OK);
  });

  test.each(['AT+QISDE=1', 'ATE1'])('echoes the data first after %s', (command) => {
    const modem = listening();
    modem.at(command);
    modem.ask('AT+QISEND=0,12,"100.64.0.1",6969\r');
    expect(modem.ask(P12)).toBe(`${P12}\r\nSEND OK\r\n`);
  });

  test('echoes the data until that is switched off', () => {
    const modem = testModem('quectel');
    expect(modem.at('AT+QISDE?')).toBe('\r\n+QISDE: 1\r\n\r\nOK\r\n');
  });

  test('takes at most 1460 bytes', () => {
    const modem = listening();
    modem.ask('AT+QISEND=0,1460,"100.64.0.1",6969\r');
    expect(modem.ask('x'.repeat(1460))).toBe('\r\nSEND OK\r\n');
    expect(modem.at('AT+QISEND=0,1461,"100.64.0.1",6969')).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 552,invalid parameters');
  });

  test('without a length ends with Ctrl-Z, and is cancelled by ESC', () => {
    const modem = listening();
    expect(modem.ask('AT+QISEND=0,,"100.64.0.1",6969\r')).toBe('\r\n> ');
    expect(modem.ask('ab\x1a')).toBe('\r\nSEND OK\r\n');
    modem.ask('AT+QISEND=0,,"100.64.0.1",6969\r');
    expect(modem.ask('cd\x1b')).toBe(OK);
    expect(modem.sent.map(({ bytes }) => bytes)).toEqual(['ab']);
  });

  test('as hexadecimal digits is refused for a listener', () => {
    const modem = listening();
    expect(modem.at('AT+QISENDEX=0,"3132"')).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 572,operation not allowed');
  });

  test('fails without a network, and by the faults sendFail and sendBusy', () => {
    const modem = listening({ faults: { sendFail: [1], sendBusy: [2] } });
    const send = () => modem.ask('AT+QISEND=0,4,"100.64.0.1",6969\r') + modem.ask('ping');
    expect(send()).toBe('\r\n> \r\nSEND FAIL\r\n');
    expect(modem.ask('AT+QISEND=0,4,"100.64.0.1",6969\r')).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 568,operation busy');
    expect(send()).toBe('\r\n> \r\nSEND OK\r\n');
    expect(modem.sent).toHaveLength(1);
  });

  test('is counted by AT+QISEND=0,0', () => {
    expect(listening().at('AT+QISEND=0,0')).toBe('\r\n+QISEND: 0,0,0\r\n\r\nOK\r\n');
  });

  test('by an unknown socket is refused', () => {
    const modem = active();
    expect(modem.at('AT+QISEND=0,4,"100.64.0.1",6969')).toBe(ERROR);
    expect(lastError(modem)).toBe('+QIGETERROR: 567,socket has been closed');
  });
});

describe('closing a socket of a Quectel modem', () => {
  test('is answered OK, also when nothing is open', () => {
    const modem = listening();
    expect(modem.at('AT+QICLOSE=0')).toBe(OK);
    expect(modem.at('AT+QICLOSE=0')).toBe(OK);
    expect(modem.at('AT+QIRD=0')).toBe(ERROR);
    expect(modem.at(OPEN)).toBe('\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n');
  });

  test('discards other commands meanwhile', () => {
    const modem = listening();
    expect(modem.ask('AT+QICLOSE=0\rAT+CSQ\r')).toBe('');
    modem.write('AT+CSQ\r');
    modem.pass(SOON_MS);
    expect(modem.printed()).toBe(`${OK}${line('+CSQ: 21,99')}${OK}`);
  });

  test('by the network leaves the id in use until the host closes it', () => {
    const modem = listening();
    expect(modem.core.closeSocket(undefined)).toBe(true);
    expect(modem.printed()).toBe('\r\n+QIURC: "closed",0\r\n');
    expect(modem.receive('late')).toBe(false);
    expect(modem.at('AT+QISTATE=1,0')).toContain(',4,1,0,0,"usbat"');
    expect(modem.at(OPEN)).toContain('+QIOPEN: 0,563');
    modem.at('AT+QICLOSE=0');
    expect(modem.at(OPEN)).toContain('+QIOPEN: 0,0');
  });
});

describe('an EC200U', () => {
  const options = { quirks: { model: 'EC200U' } };

  test('has prompts of its own', () => {
    const modem = listening(options);
    expect(modem.ask('AT+QISEND=0,1,"100.64.0.1",6969\r')).toBe('\r\n>');
    modem.ask('x');
    modem.at('AT+QICFG="formatcfg",1');
    expect(modem.ask('AT+QISEND=0,1,"100.64.0.1",6969\r')).toBe('\r\n>\r\n');
  });

  test('has the settings sendinfo and close/mode', () => {
    const modem = listening(options);
    modem.at('AT+QICFG="sendinfo",1');
    modem.ask('AT+QISEND=0,1,"100.64.0.1",6969\r');
    expect(modem.ask('x')).toBe('\r\n+QISEND: 0,0,1460\r\n\r\nOK\r\n');
    modem.at('AT+QICFG="close/mode",1');
    expect(modem.at('AT+QICLOSE=0')).toBe('\r\nOK\r\n\r\n+QIURC: "closed",0\r\n');
    expect(active().at('AT+QICFG="close/mode",1')).toBe(ERROR);
  });

  test('waits five seconds for the bytes of a send', () => {
    const modem = listening(options);
    modem.ask('AT+QISEND=0,2,"100.64.0.1",6969\rx');
    modem.pass(4990);
    expect(modem.printed()).toBe('');
    modem.pass(20);
    expect(modem.printed()).toBe(ERROR);
    expect(modem.at('AT')).toBe(OK);
    expect(modem.sent).toEqual([]);
  });
});

test('a Quectel modem prints POWERED DOWN before it restarts', () => {
  const modem = listening();
  expect(modem.at('AT+CFUN=1,1')).toBe(`${OK}${line('POWERED DOWN')}`);
});
