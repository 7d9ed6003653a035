import { describe, expect, test } from 'vitest';
import { ERROR, GATEWAY, line, OK, P12, type TestModemOptions, testModem } from '../support.js';

const OPEN = 'AT+USOCR=17,6969';
const R4 = { quirks: { model: 'SARA-R4' } };
const SEND = 'AT+USOST=0,"100.64.0.1",6969';

function listening(options: TestModemOptions = {}) {
  const modem = testModem('ublox', options);
  if (options.quirks?.['model'] !== 'SARA-R4') modem.at('AT+UPSDA=0,3');
  modem.at(OPEN);
  return modem;
}

type TestModem = ReturnType<typeof listening>;

/** Writes the bytes of a send as late after the prompt as the modem requires. */
function sendBytes(modem: TestModem, bytes: string): string {
  modem.pass(50);
  return modem.ask(bytes);
}

describe('the PDP context of a u-blox modem', () => {
  test('of an R5 is activated by the host', () => {
    const modem = testModem('ublox');
    modem.at('AT+CMEE=1');
    expect(modem.at(OPEN)).toBe(line('+CME ERROR: 3'));
    for (const command of ['AT+UPSV=0', 'AT+UPSD=0,0,0', 'AT+UPSD=0,100,1']) expect(modem.at(command)).toBe(OK);
    expect(modem.at('AT+UPSDA=0,3')).toBe('\r\nOK\r\n\r\n+UUPSDA: 0,"10.1.2.3"\r\n');
    expect(modem.at('AT+UPSND=0,0')).toBe('\r\n+UPSND: 0,0,"10.1.2.3"\r\n\r\nOK\r\n');
    expect(modem.at('AT+UPSND=0,8')).toBe('\r\n+UPSND: 0,8,1\r\n\r\nOK\r\n');
    expect(modem.at(OPEN)).toBe('\r\n+USOCR: 0\r\n\r\nOK\r\n');
  });

  test('of an R4 is active without a command', () => {
    const modem = testModem('ublox', R4);
    for (const command of ['AT+UPSD=0,0,0', 'AT+UPSDA=0,3', 'AT+UPSND=0,0']) expect(modem.at(command)).toBe(ERROR);
    expect(modem.at(OPEN)).toBe('\r\n+USOCR: 0\r\n\r\nOK\r\n');
  });

  test('is lost with all sockets when the network drops it', () => {
    const modem = listening();
    modem.core.dropContext();
    expect(modem.printed()).toBe('\r\n+UUPSDD: 0\r\n');
    expect(modem.at('AT+USORF=0,0')).toBe(ERROR);
    expect(modem.at(OPEN)).toBe(ERROR);
    modem.at('AT+UPSDA=0,3');
    expect(modem.at(OPEN)).toBe('\r\n+USOCR: 0\r\n\r\nOK\r\n');
  });
});

test('carries seven sockets, numbered by the modem, each on a port of its own', () => {
  const modem = listening();
  expect(modem.at(OPEN)).toBe(ERROR);
  expect(modem.at('AT+USOER')).toBe('\r\n+USOER: 98\r\n\r\nOK\r\n');
  for (let id = 1; id <= 6; id += 1)
    expect(modem.at(`AT+USOCR=17,${7000 + id}`)).toBe(`\r\n+USOCR: ${id}\r\n\r\nOK\r\n`);
  expect(modem.at('AT+USOCR=17,7100')).toBe(ERROR);
  expect(modem.at('AT+USOCL=3')).toBe(OK);
  expect(modem.at('AT+USOCL=3')).toBe(ERROR);
  expect(modem.at('AT+USOCR=17')).toBe('\r\n+USOCR: 3\r\n\r\nOK\r\n');
  expect(modem.at('AT+USOCTL=3,0')).toBe('\r\n+USOCTL: 3,0,17\r\n\r\nOK\r\n');
  expect(modem.at('AT+USOCTL=3,1')).toBe('\r\n+USOCTL: 3,1,0\r\n\r\nOK\r\n');
});

describe('receiving with a u-blox modem', () => {
  test('puts the payload between quotes, and its length before them', () => {
    const modem = listening();
    modem.receive(P12);
    expect(modem.printed()).toBe('\r\n+UUSORF: 0,12\r\n');
    expect(modem.at('AT+USORF=0,1024')).toBe(`\r\n+USORF: 0,"100.64.0.1",6969,12,"${P12}"\r\n\r\nOK\r\n`);
  });

  test('prints the URC after each read until nothing is left, with the bytes that are left', () => {
    const modem = listening();
    modem.receive('"three"');
    modem.receive('four');
    expect(modem.printed()).toBe('\r\n+UUSORF: 0,7\r\n');
    expect(modem.at('AT+USORF=0,0')).toBe('\r\n+USORF: 0,11\r\n\r\nOK\r\n');
    expect(modem.at('AT+USORF=0,1024')).toBe(
      '\r\n+USORF: 0,"100.64.0.1",6969,7,""three""\r\n\r\nOK\r\n\r\n+UUSORF: 0,4\r\n',
    );
    expect(modem.at('AT+USORF=0,1024')).toBe('\r\n+USORF: 0,"100.64.0.1",6969,4,"four"\r\n\r\nOK\r\n');
    expect(modem.at('AT+USORF=0,1024')).toBe(ERROR);
    modem.receive('again');
    expect(modem.printed()).toBe('\r\n+UUSORF: 0,5\r\n');
  });

  test('has other names and forms by model and quirk', () => {
    const modem = listening(R4);
    modem.receive('x');
    expect(modem.printed()).toBe('\r\n+UUSORD: 0,1\r\n');
    expect(modem.at('AT+USORD=0,1024')).toBe('\r\n+USORD: 0,1,"x"\r\n\r\nOK\r\n');
    expect(modem.at('AT+USORF=0,1024')).toBe('\r\n+USORF: 0,""\r\n\r\nOK\r\n');
    const other = listening({ quirks: { trailer: 'plain', commaSpace: 'yes' } });
    other.receive('x');
    other.printed();
    expect(other.at('AT+USORF=0,1024')).toBe('\r\n+USORF: 0, "100.64.0.1", 6969, 1, "x"\r\nOK\r\n');
  });

  test('reads at most 1024 bytes; the rest of a longer datagram comes next, or is lost', () => {
    const long = `${'a'.repeat(1024)}${'b'.repeat(276)}`;
    const modem = listening();
    modem.receive(long);
    expect(modem.printed()).toBe('\r\n+UUSORF: 0,1300\r\n');
    expect(modem.at('AT+USORF=0,1025')).toBe(ERROR);
    expect(modem.at('AT+USORF=0,1024')).toContain(`6969,1024,"${'a'.repeat(1024)}"\r\n`);
    expect(modem.at('AT+USORF=0,1024')).toContain(`6969,276,"${'b'.repeat(276)}"\r\n`);
    const cutting = listening({ quirks: { long: 'cut' } });
    cutting.receive(long);
    cutting.receive('next');
    cutting.at('AT+USORF=0,1024');
    expect(cutting.at('AT+USORF=0,1024')).toContain('6969,4,"next"\r\n');
  });

  test('reads at most 512 bytes as hexadecimal digits', () => {
    const modem = listening();
    expect(modem.at('AT+UDCONF=1')).toBe('\r\n+UDCONF: 1,0\r\n\r\nOK\r\n');
    expect(modem.at('AT+UDCONF=1,1')).toBe(OK);
    expect(modem.at('AT+UDCONF=1')).toBe('\r\n+UDCONF: 1,1\r\n\r\nOK\r\n');
    modem.receive(P12);
    modem.printed();
    expect(modem.at('AT+USORF=0,513')).toBe(ERROR);
    expect(modem.at('AT+USORF=0,512')).toBe(
      '\r\n+USORF: 0,"100.64.0.1",6969,12,"001A1B0D0A4F4B0D0A2B513E"\r\n\r\nOK\r\n',
    );
  });
});

describe('sending with a u-blox modem', () => {
  test('takes the bytes a pause after a prompt without a line end', () => {
    const modem = listening();
    expect(modem.ask(`${SEND},12\r`)).toBe('\r\n@');
    expect(sendBytes(modem, P12)).toBe('\r\n+USOST: 0,12\r\n\r\nOK\r\n');
    expect(modem.sent).toEqual([{ bytes: P12, port: 6969, destination: GATEWAY }]);
  });

  test('discards bytes that come too soon after the prompt', () => {
    const modem = listening();
    modem.ask(`${SEND},4\r`);
    modem.pass(20);
    expect(modem.ask('ping')).toBe('');
    modem.pass(30);
    expect(modem.ask('pong')).toBe('\r\n+USOST: 0,4\r\n\r\nOK\r\n');
    expect(modem.sent.map(({ bytes }) => bytes)).toEqual(['pong']);
  });

  test('echoes the bytes with ATE1', () => {
    const modem = listening();
    modem.at('ATE1');
    modem.ask(`${SEND},7\r`);
    expect(sendBytes(modem, 'payload')).toBe('payload\r\n+USOST: 0,7\r\n\r\nOK\r\n');
  });

  test('takes at most 1024 bytes, or 512 as hexadecimal digits', () => {
    const modem = listening();
    modem.ask(`${SEND},1024\r`);
    expect(sendBytes(modem, 'x'.repeat(1024))).toBe('\r\n+USOST: 0,1024\r\n\r\nOK\r\n');
    expect(modem.at(`${SEND},1025`)).toBe(ERROR);
    expect(modem.at('AT+USOER')).toContain('+USOER: 90');
    modem.at('AT+UDCONF=1,1');
    expect(modem.at(`${SEND},512,"${'ff'.repeat(512)}"`)).toBe('\r\n+USOST: 0,512\r\n\r\nOK\r\n');
    expect(modem.at(`${SEND},513,"${'ff'.repeat(513)}"`)).toBe(ERROR);
    expect(modem.at(`${SEND},2,"ff"`)).toBe(ERROR);
    expect(modem.at(`${SEND},2`)).toBe(ERROR);
    expect(modem.sent.at(-1)?.bytes).toBe('\xff'.repeat(512));
  });

  test('is refused by an R4 while a datagram that came into a send is unread', () => {
    const modem = listening(R4);
    modem.ask(`${SEND},4\r`);
    modem.receive('cross');
    modem.printed();
    expect(sendBytes(modem, 'ping')).toBe(ERROR);
    expect(modem.at('AT+USOER')).toContain('+USOER: 11');
    // Further sends are refused until it is read.
    modem.ask(`${SEND},4\r`);
    expect(sendBytes(modem, 'ping')).toBe(ERROR);
    modem.at('AT+USORF=0,1024');
    modem.ask(`${SEND},4\r`);
    expect(sendBytes(modem, 'ping')).toContain('+USOST: 0,4');
  });

  test('fails by the faults sendBusy and sendFail', () => {
    const modem = listening({ faults: { sendBusy: [1], sendFail: [1] } });
    expect(modem.at(`${SEND},4`)).toBe(ERROR);
    modem.ask(`${SEND},4\r`);
    expect(sendBytes(modem, 'ping')).toBe(ERROR);
  });
});

test('a u-blox socket is closed by the host at once, on the R4 also later, and by the network', () => {
  const modem = listening(R4);
  expect(modem.at('AT+USOCL=0,1')).toBe('\r\nOK\r\n\r\n+UUSOCL: 0\r\n');
  modem.at(OPEN);
  expect(modem.core.closeSocket(undefined)).toBe(true);
  expect(modem.printed()).toBe('\r\n+UUSOCL: 0\r\n');
  expect(modem.core.sockets()).toEqual([]);
});

test.each([15, 16])('AT+CFUN=%i restarts a u-blox modem', (level) => {
  const modem = testModem('ublox');
  expect(modem.at(`AT+CFUN=${level}`)).toBe(OK);
  expect(modem.restarts()).toBe(1);
});
