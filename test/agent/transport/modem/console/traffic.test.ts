import { describe, expect, it } from 'vitest';
import { createTraffic } from '../../../../../agent/transport/modem/console/traffic.js';

const text = (hex: string) => Buffer.from(hex, 'hex').toString('latin1');

/** What is kept, as text. */
const shown = (traffic: ReturnType<typeof createTraffic>) =>
  traffic.after(0).map(({ t, dir, hex }) => `${t} ${dir} ${text(hex)}`);

describe('the record of AT traffic', () => {
  it('numbers its records, and returns those after a number', () => {
    let now = 0;
    const traffic = createTraffic(() => now++);
    traffic.sent(Buffer.from('AT\r'));
    traffic.received(Buffer.from('\r\nOK\r\n'));
    traffic.received(Buffer.from([0xff]));
    expect(traffic.after(0).map(({ n, t }) => [n, t])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ]);
    expect(traffic.after(2)).toEqual([{ n: 3, t: 2, dir: 'rx', hex: 'ff' }]);
    expect(traffic.after(3)).toEqual([]);
  });

  it('never contains the PIN', () => {
    const traffic = createTraffic(() => 0);
    for (const command of [
      'AT+CPIN="1234"',
      'AT+CPIN=12345678,1234',
      'AT+CLCK="SC",0,"1234"',
      'AT+CPWD="SC","1","2"',
    ]) {
      traffic.sent(Buffer.from(`${command}\r`));
    }
    expect(shown(traffic)).toEqual([
      '0 tx AT+CPIN="****"\r',
      '0 tx AT+CPIN=********,****\r',
      '0 tx AT+CLCK="SC",0,"****"\r',
      '0 tx AT+CPWD="SC","*","*"\r',
    ]);
    // A payload stays as it is.
    traffic.sent(Buffer.from('\0AT+CPIN="1234"\r'));
    expect(shown(traffic).at(-1)).toBe('0 tx \0AT+CPIN="1234"\r');
  });

  it('keeps the latest records within its bounds', () => {
    const traffic = createTraffic(() => 0);
    for (let n = 0; n < 5000; n++) traffic.received(Buffer.from(String(n)));
    expect(traffic.after(0)).toHaveLength(4000);
    expect(shown(traffic).at(-1)).toBe('0 rx 4999');
    for (let n = 0; n < 300; n++) traffic.received(Buffer.alloc(1000));
    expect(traffic.after(0)).toHaveLength(262);
  });
});
