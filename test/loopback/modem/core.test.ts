import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIALECT_NAMES, type DialectName } from '../../../loopback/modem/dialects/index.js';
import { SEED } from '../../support/seed.js';
import { SOON_MS, testModem } from './support.js';

/** Input with which each dialect listens and sends four bytes, with pauses where it needs them. */
const SCRIPTS: Readonly<Record<DialectName, readonly string[]>> = {
  quectel: [
    'AT+QIACT=1\r',
    'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0\r',
    'AT+QISEND=0,4,"100.64.0.1",6969\r',
    'OK\r\n',
    'AT+QIRD=0\r',
  ],
  simcom7600: [
    'AT+CIPRXGET=1\r',
    'AT+NETOPEN\r',
    'AT+CIPOPEN=0,"UDP",,,6969\r',
    'AT+CIPSEND=0,4,"100.64.0.1",6969\r',
    'OK\r\n',
    'AT+CIPRXGET=2,0,1500\r',
  ],
  simcom7080: [
    'AT+CNACT=0,1\r',
    'AT+CASERVER=0,0,"UDP",6969\r',
    'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969\r',
    'AT+CASEND=0,4\r',
    'OK\r\n',
    'AT+CARECV=0,1459\r',
  ],
  ublox: ['AT+UPSDA=0,3\r', 'AT+USOCR=17,6969\r', 'AT+USOST=0,"100.64.0.1",6969,4\r', 'OK\r\n', 'AT+USORF=0,1024\r'],
};

/** Runs the script, with each part cut at `cuts`, and returns everything that was printed and sent. */
function play(dialect: DialectName, cuts: (part: string) => string[]) {
  const modem = testModem(dialect);
  let printed = '';
  for (const part of SCRIPTS[dialect]) {
    for (const piece of cuts(part)) printed += modem.ask(piece);
    modem.pass(SOON_MS);
    printed += modem.printed();
    if (part.startsWith('OK')) {
      modem.receive('datagram');
      printed += modem.printed();
    }
  }
  return { printed, sent: modem.sent };
}

describe.each(DIALECT_NAMES)('a %s modem', (dialect) => {
  test('gives the same output however its input is chunked', () => {
    const whole = play(dialect, (part) => [part]);
    expect(whole.sent).toMatchObject([{ bytes: 'OK\r\n' }]);
    expect(whole.printed).toContain('datagram');
    expect(play(dialect, (part) => [...part])).toEqual(whole);
    fc.assert(
      fc.property(fc.nat(100), (at) => {
        expect(play(dialect, (part) => [part.slice(0, at), part.slice(at)].filter(Boolean))).toEqual(whole);
      }),
      { numRuns: 40, seed: SEED },
    );
  });

  test('neither throws nor hangs with any input and any faults', () => {
    const words = fc.constantFrom(...SCRIPTS[dialect], 'AT', '+', '=', '"', ',', ';', '\r', '\n', '\x1a', '\x1b', '?');
    const input = fc.oneof(words, fc.string({ unit: 'binary-ascii', maxLength: 40 }));
    const probability = fc.constantFrom(0, 0.3, 1);
    const faults = fc.record({
      urcLoss: probability,
      urcDuplicate: probability,
      urcBetween: probability,
      urcExtra: probability,
      lineLoss: probability,
      byteLoss: probability,
      byteDamage: probability,
      garbage: probability,
      sendFail: probability,
      sendBusy: probability,
    });
    fc.assert(
      fc.property(fc.array(input, { maxLength: 30 }), faults, fc.nat(1000), (parts, set, seed) => {
        const modem = testModem(dialect, { faults: set, seed });
        for (const part of parts) {
          modem.askAndWait(part);
          modem.receive(part);
        }
        modem.core.dropContext();
        modem.core.closeSocket(undefined);
        // Long enough for every time-out.
        modem.setFaults({});
        for (let bytes = 0; bytes < 4; bytes += 1) modem.askAndWait(`${'\x1a'.repeat(400)}\r`);
        modem.askAndWait('\r');
        expect(modem.at('AT')).toContain('OK');
      }),
      { numRuns: 150, seed: SEED },
    );
  });
});
