import { expect } from 'vitest';
import type { DialectName, Loopback } from '../../loopback/index.js';
import { openPort } from '../loopback/modem/port.js';

/** Settings that an agent changes in a new modem, for which it switches the radio off and on. */
const SET_UP: Readonly<Record<DialectName, string>> = {
  quectel: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7600: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7080: 'AT+CGDCONT=1,"IP","super";+CNMP=38;+CMNB=1\r',
  ublox: 'AT+CGDCONT=1,"IP","super";+URAT=7\r',
};
const WAIT = { timeout: 20_000, interval: 5 };

/** Registers the loopback's new modem and sets it up, as an earlier use would have: an agent is up sooner. */
export async function useModem(loopback: Loopback): Promise<void> {
  const { modem } = loopback;
  if (modem?.path === undefined) throw new Error('the loopback has no modem');
  const users: number[] = [];
  const forget = loopback.onEvent((event) => {
    if (event.type === 'modem' && event.event.what === 'users') users.push(event.event.pids.length);
  });
  await expect.poll(() => modem.status().attached, WAIT).toBe(true);
  const port = openPort(modem.path);
  // Some modems detect the baud rate from the first lines.
  port.write(Buffer.from('AT\rAT\r'));
  const setUp = SET_UP[modem.dialect];
  const answered = `${setUp}\r\nOK\r\n`;
  expect(await port.ask(setUp, answered)).toContain(answered);
  await expect.poll(() => users, WAIT).toEqual([1]);
  port.close();
  // Output is discarded until then.
  await expect.poll(() => users, WAIT).toEqual([1, 0]);
  forget();
}
