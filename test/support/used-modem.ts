import { expect } from 'vitest';
import type { DialectName, Loopback } from '../../loopback/index.js';
import { openPort } from '../loopback/modem/port.js';

/** Settings that an agent makes on a new modem, which costs the time of a radio cycle. */
const SET_UP: Readonly<Record<DialectName, string>> = {
  quectel: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7600: 'AT+CGDCONT=1,"IP","super"\r',
  simcom7080: 'AT+CGDCONT=1,"IP","super";+CNMP=38;+CMNB=1\r',
  ublox: 'AT+CGDCONT=1,"IP","super";+URAT=7\r',
};
const WAIT = { timeout: 10_000, interval: 5 };

/** Registers the loopback's new modem and makes the settings of an earlier use, so that it comes up sooner. */
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
  // Its output until then is discarded.
  await expect.poll(() => users, WAIT).toEqual([1, 0]);
  forget();
}
