import { describe, expect, it } from 'vitest';
import { createTraffic } from '../../../../agent/transport/modem/traffic.js';
import { P12 } from './support.js';

const text = (hex: string) => Buffer.from(hex, 'hex').toString('latin1');

/** What is kept, as text. */
const shown = (traffic: ReturnType<typeof createTraffic>, payloads: boolean) =>
  traffic.records(payloads).map(({ t, dir, hex }) => `${t} ${dir} ${text(hex)}`);

describe('the record of AT traffic', () => {
  it('has dots for payloads, unless these are asked for', () => {
    let now = 0;
    const traffic = createTraffic(() => now++);
    traffic.sent(Buffer.from('AT+QISEND=0,4\r'), false);
    traffic.came(Buffer.from('\r\n> '));
    traffic.sent(Buffer.from('\x00abc'), true);
    expect(shown(traffic, false)).toEqual(['0 tx AT+QISEND=0,4\r', '1 rx \r\n> ', '2 tx ....']);
    expect(shown(traffic, true)[2]).toBe('2 tx \x00abc');
  });

  it.each([1, 2, 5, 100])('finds a payload that came in chunks of %i', (size) => {
    const traffic = createTraffic(() => 0);
    const all = Buffer.from(`+QIRD: 12\r\n${P12}\r\n\r\nOK\r\n`, 'latin1');
    for (let at = 0; at < all.length; at += size) traffic.came(all.subarray(at, at + size));
    traffic.hide(Buffer.from(P12, 'latin1'));
    const kept = (payloads: boolean) =>
      text(
        traffic
          .records(payloads)
          .map(({ hex }) => hex)
          .join(''),
      );
    expect(kept(false)).toBe(`+QIRD: 12\r\n${'.'.repeat(12)}\r\n\r\nOK\r\n`);
    expect(kept(true)).toBe(all.toString('latin1'));
  });

  it('finds a payload that a modem gave in two parts', () => {
    const traffic = createTraffic(() => 0);
    const payload = Buffer.from('x'.repeat(1024) + 'y'.repeat(276));
    for (const part of [payload.subarray(0, 1024), payload.subarray(1024)]) {
      traffic.came(Buffer.concat([Buffer.from(`${part.length},"`), part, Buffer.from('"\r\n')]));
    }
    traffic.hide(payload);
    expect(shown(traffic, false)).toEqual([`0 rx 1024,"${'.'.repeat(1024)}"\r\n`, `0 rx 276,"${'.'.repeat(276)}"\r\n`]);
  });

  it('never has the PIN', () => {
    const traffic = createTraffic(() => 0);
    traffic.sent(Buffer.from('AT+CPIN="1234"\r'), false);
    expect(shown(traffic, true)).toEqual(['0 tx AT+CPIN=******\r']);
  });

  it('keeps the last, and not more than its bounds', () => {
    const traffic = createTraffic(() => 0);
    for (let n = 0; n < 5000; n++) traffic.came(Buffer.from(String(n)));
    expect(traffic.records(true)).toHaveLength(4000);
    expect(shown(traffic, true).at(-1)).toBe('0 rx 4999');
    for (let n = 0; n < 300; n++) traffic.came(Buffer.alloc(1000));
    expect(traffic.records(true)).toHaveLength(262);
  });
});
