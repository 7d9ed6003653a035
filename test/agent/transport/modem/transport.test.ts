import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../../support/files.js';
import { makeModemLink, startModemLink } from '../../../support/modem.js';
import { needs } from '../../../support/needs.js';

const PIN = '1234';

describe.skipIf(needs('node-pty'))('the modem transport', { timeout: 60_000 }, () => {
  test('enters the PIN once, again after a restart when it was right, and writes it nowhere', async () => {
    const link = await makeModemLink('quectel', { pin: PIN });
    link.modem.setSim('pin');
    link.answer();
    await link.start();
    await link.up();
    link.modem.setSim('pin');
    await link.modem.reset();
    await link.roundTrip('after a restart');
    expect(link.commands.filter((command) => command.startsWith('AT+CPIN='))).toHaveLength(2);
    const seen = JSON.stringify([link.recording.lines, link.transport.modem.log(0)]);
    expect(seen).not.toContain(`CPIN="${PIN}"`);
    expect(seen).not.toContain(Buffer.from(`CPIN="${PIN}"`).toString('hex'));
  });

  test('never enters a wrong PIN twice', async () => {
    const link = await makeModemLink('quectel', { pin: '9999' });
    link.modem.setSim('pin');
    await link.start();
    const state = () => link.transport.link().links[0];
    await expect.poll(() => state()?.reason, { timeout: 20_000 }).toContain('PIN');
    await link.modem.reset();
    await link.recording.times('serial port open', 2);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(link.commands.filter((command) => command.startsWith('AT+CPIN='))).toHaveLength(1);
    expect(state()?.up).toBe(false);
    // Somebody enters it, or takes the lock away; after a rest it is looked again.
    link.modem.setSim('ready');
    await link.modem.reset();
    await link.up();
  });

  test('takes no interruption upon itself while it may not, and does so once it may', async () => {
    const link = await makeModemLink('quectel');
    link.answer();
    link.transport.allowInterruption(false);
    await link.start();
    await link.up();
    const resets = () => link.commands.filter((command) => command.startsWith('AT+CFUN=1,1')).length;
    // Nothing but a reset or off and on again would help: each try to activate the context is refused.
    link.modem.setFaults({ errors: { 'AT+QIACT=': 30 } });
    link.modem.dropContext();
    await expect.poll(() => link.transport.counts().rungs.reset, { timeout: 30_000, interval: 1 }).toBeGreaterThan(0);
    const off = (command: string) => command.startsWith('AT+CFUN=0') || command.startsWith('AT+CFUN=1,1');
    // Before it was up its APN was set.
    const before = link.commands.filter(off).length;
    expect(before).toBe(1);
    link.transport.allowInterruption(true);
    await expect.poll(() => link.commands.filter(off).length, { timeout: 30_000 }).toBeGreaterThan(before);
    link.modem.setFaults({});
    await link.roundTrip('after all');
    // That one has helped.
    expect(resets()).toBe(1);
  });

  test('keeps its state over a restart, before it acts; a damaged file is no state', async () => {
    const stateFolder = temporaryFolder();
    const path = join(stateFolder, 'modem.json');
    writeFileSync(path, '{"rung":');
    const link = await startModemLink('quectel', { stateFolder });
    expect(link.recording.withMessage('the state of the modem’s recovery cannot be read; it begins anew')).toHaveLength(
      1,
    );
    link.answer();
    link.modem.dropContext();
    await link.roundTrip('after the context');
    await expect
      .poll(() => JSON.parse(readFileSync(path, 'utf8')))
      .toMatchObject({ rung: null, counts: { context: 1 } });
    await link.transport.stop();
    const again = await startModemLink('quectel', { stateFolder });
    expect(again.transport.counts().rungs.context).toBe(1);
  });

  test('waits for a port that is not there, and sends nothing meanwhile', async () => {
    const link = await startModemLink('quectel');
    const resetting = link.modem.reset();
    await expect.poll(link.isUp).toBe(false);
    expect(await link.send(Buffer.from('x'))).toMatchObject({ code: 'link-down' });
    await resetting;
    await link.up();
    expect(await link.send(Buffer.from('x'))).toBeUndefined();
  });

  test('tells in order which of a burst have left, and takes no more than it can keep', async () => {
    const link = await startModemLink('quectel');
    const ended: number[] = [];
    const sends = Array.from({ length: 400 }, async (_, n) => {
      const error = await link.send(Buffer.from(`datagram ${n}`));
      if (error === undefined) ended.push(n);
      return error;
    });
    const errors = (await Promise.all(sends)).filter((error) => error !== undefined);
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toMatchObject({ code: 'link-down' });
    expect(ended).toEqual([...ended].sort((a, b) => a - b));
    await expect.poll(() => link.replies.map(String)).toEqual(ended.map((n) => `datagram ${n}`));
  });
});
