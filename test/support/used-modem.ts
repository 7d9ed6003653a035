import { expect } from 'vitest';
import type { DialectName, Loopback } from '../../loopback/index.js';
import { openPort } from '../loopback/modem/port.js';

/** What an agent changes in a modem that is new, which then costs the time of going off the air and on. */
const SET_UP: Readonly<Record<DialectName, string>> = {
  quectel: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7600: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7080: 'AT+CGDCONT=1,"IP","super";+CNMP=38;+CMNB=1\r',
  ublox: 'AT+CGDCONT=1,"IP","super";+URAT=7\r',
};
const WAIT = { timeout: 10_000, interval: 5 };

/** Makes the loopback's new modem one that is registered, and has its settings from an earlier use: it is up sooner. */
export async function useModem(loopback: Loopback): Promise<void> {
  const { modem } = loopback;
  if (modem?.path === undefined) throw new Error('the loopback has no modem');
  const users: number[] = [];
  const forget = loopback.onEvent((event) => {
    if (event.type === 'modem' && event.event.what === 'users') users.push(event.event.pids.length);
  });
  await expect.poll(() => modem.status().attached, WAIT).toBe(true);
  const port = openPort(modem.path);
  // The first ones tell some modems the speed of the line.
  port.write(Buffer.from('AT\rAT\r'));
  const setUp = SET_UP[modem.dialect];
  const answered = `${setUp}\r\nOK\r\n`;
  expect(await port.ask(setUp, answered)).toContain(answered);
  await expect.poll(() => users, WAIT).toEqual([1]);
  port.close();
  // What it says until then is thrown away.
  await expect.poll(() => users, WAIT).toEqual([1, 0]);
  forget();
}
