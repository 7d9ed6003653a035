import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { attempt } from '../../../../agent/transport/modem/at/script.js';
import { openPortSession } from '../../../../agent/transport/modem/console/port-session.js';
import { probeAt } from '../../../../agent/transport/modem/console/probe.js';
import { temporaryFolder } from '../../../support/files.js';
import { openBy } from '../../../support/holder.js';
import { makeModemLink, startModemLink } from '../../../support/modem.js';
import { needs } from '../../../support/needs.js';

const PIN = '1234';
/** Generous: a port that disappears is noticed within a second, but other programs may keep the machine busy. */
const WAIT = { timeout: 20_000 };

describe.skipIf(needs('node-pty'))('the modem transport', { timeout: 60_000 }, () => {
  test('enters a correct PIN whenever the SIM lost its power, and stores it nowhere', async () => {
    const link = await makeModemLink('quectel', { pin: PIN });
    link.modem.setSim('pin');
    link.answer();
    await link.start();
    const entered = () => link.commands.filter((command) => command.startsWith('AT+CPIN=')).length;
    // The radio went off and on for the APN, and the SIM kept its power.
    await link.up(20_000);
    expect(entered()).toBe(1);
    await link.modem.reset();
    await link.roundTrip('after a restart');
    expect(entered()).toBe(2);
    // The lock is removed by hand.
    expect(await link.transport.modem.at('AT+CFUN=0')).toEqual(['OK']);
    expect(await link.transport.modem.at('AT+CFUN=1')).toEqual(['OK']);
    await link.roundTrip('after the power', 40_000);
    expect(entered()).toBe(3);
    const seen = JSON.stringify([link.recording.lines, link.transport.modem.log(0)]);
    expect(seen).not.toContain(`CPIN="${PIN}"`);
    expect(seen).not.toContain(Buffer.from(`CPIN="${PIN}"`).toString('hex'));
  });

  test('never enters a wrong PIN twice, also not after a restart of the agent', async () => {
    const stateFolder = temporaryFolder();
    const link = await makeModemLink('quectel', { pin: '9999', stateFolder });
    link.modem.setSim('pin');
    await link.start();
    const state = () => link.transport.link().links[0];
    const entered = () => link.commands.filter((command) => command.startsWith('AT+CPIN='));
    await expect.poll(() => state()?.reason).toContain('correct modem.pin');
    await link.modem.reset();
    await link.recording.times('serial port open', 2);
    await link.transport.stop();
    expect(entered()).toHaveLength(1);
    const again = link.another({ pin: '9999', stateFolder });
    await again.start();
    await expect.poll(() => again.link().links[0]?.reason).toContain('correct modem.pin');
    expect(entered()).toHaveLength(1);
    expect(JSON.parse(readFileSync(join(stateFolder, 'modem.json'), 'utf8')).pin).toEqual({
      iccid: null,
      salt: expect.stringMatching(/^[0-9a-f]{32}$/),
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      refused: true,
    });
    await again.stop();
    // The corrected PIN is entered.
    const corrected = link.another({ pin: PIN, stateFolder });
    await corrected.start();
    await expect.poll(() => corrected.link().links[0], { timeout: 30_000 }).toMatchObject({ up: true });
    expect(entered()).toHaveLength(2);
  });

  test('comes up after the PIN was entered by hand, or the lock removed', async () => {
    const link = await makeModemLink('quectel', { pin: '9999' });
    link.modem.setSim('pin');
    await link.start();
    await expect.poll(() => link.transport.link().links[0]?.reason).toContain('modem at');
    expect(await link.transport.modem.at(`AT+CPIN="${PIN}"`)).toContain('OK');
    // Without waiting for the rest of 30 s.
    await link.up(15_000);
    link.modem.setSim('pin');
    await link.modem.reset();
    await expect.poll(link.isUp).toBe(false);
    link.modem.setSim('ready');
    await link.modem.reset();
    await link.up();
  });

  test('defers interruptions of the radio until they are allowed', async () => {
    const link = await makeModemLink('quectel');
    const off = () => link.commands.filter((command) => /^AT\+CFUN=(?:0|4|1,1)/.test(command)).length;
    link.transport.allowInterruption(false);
    // Its APN is not set, so no context can be activated, and the setting that would help is deferred.
    link.modem.setFaults({ errors: { 'AT+QIACT=': 30 } });
    await link.start();
    await expect.poll(() => link.transport.counts().withheld, { timeout: 40_000 }).toBeGreaterThan(0);
    expect(off()).toBe(0);
    expect(link.commands.filter((command) => command.startsWith('AT+CGDCONT='))).toEqual([]);
    expect(link.recording.lines.filter(({ message }) => message.includes('deferred while UDP is in use'))).not.toEqual(
      [],
    );
    link.answer();
    link.transport.allowInterruption(true);
    await expect.poll(off, { timeout: 40_000 }).toBeGreaterThan(0);
    link.modem.setFaults({});
    await link.roundTrip('after all', 40_000);
    expect(link.transport.counts().rungs.reset).toBe(
      link.commands.filter((one) => one.startsWith('AT+CFUN=1,1')).length,
    );
  });

  test('does not switch the radio off when no setting is needed', async () => {
    const link = await startModemLink('simcom7080');
    const off = () => link.commands.filter((command) => /^AT\+CFUN=/.test(command)).length;
    const before = off();
    expect(before).toBeGreaterThan(0);
    await link.transport.stop();
    const again = link.another();
    again.allowInterruption(false);
    await again.start();
    await expect.poll(() => again.link().links[0], { timeout: 30_000 }).toMatchObject({ up: true });
    expect(off()).toBe(before);
    expect(again.counts().withheld).toBe(0);
  });

  test('makes the settings that another host has changed', async () => {
    const link = await makeModemLink('quectel', { modem: { quirks: { model: 'EC200U' } } });
    const host = await openPortSession({ path: link.path, baudRate: 115_200, flowControl: 'none' });
    await expect.poll(() => host.run(probeAt()).catch(() => false)).toBe(true);
    for (const command of [
      ...['AT+CGDCONT=1,"IP","super"', 'AT+CFUN=0', 'AT+CFUN=1', 'AT+QICFG="dataformat",0,1', 'AT+QICFG="viewmode",1'],
      ...['AT+QICFG="udp/readmode",1', 'AT+QURCCFG="urcport","usbmodem"'],
    ]) {
      expect((await host.run(attempt(command, 5000))).ok, command).toBe(true);
    }
    await expect.poll(async () => (await host.run(attempt('AT+QIACT=1', 5000))).ok).toBe(true);
    await host.run(attempt('AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,1', 5000));
    await host.close();
    await link.start();
    await link.up();
    link.answer();
    const texts = Array.from({ length: 20 }, (_, n) => `command ${n}`);
    await Promise.all(texts.map((text) => link.command(text)));
    await expect.poll(() => link.replies.map(String).sort()).toEqual([...texts].sort());
  });

  test('recovers a link whose sends fail although the modem reports no fault', async () => {
    const link = await startModemLink('quectel');
    link.modem.setFaults({ sendFail: 1 });
    const rungs = () => link.transport.counts().rungs;
    for (let sends = 0; sends < 6; sends++) {
      await link.up();
      expect(await link.send(Buffer.from('x'))).toMatchObject({ code: 'link-down' });
      if (sends === 2) await expect.poll(rungs, WAIT).toMatchObject({ socket: 1, context: 0 });
    }
    await expect.poll(rungs).toMatchObject({ socket: 1, context: 1 });
    link.modem.setFaults({});
    await link.up();
    expect(await link.send(Buffer.from('y'))).toBeUndefined();
  });

  test('asks twice before it takes the address for lost, as activating the context makes the SIM attach', async () => {
    const link = await startModemLink('quectel');
    const { polls } = link.transport.counts();
    link.modem.setFaults({ errors: { 'AT+CGPADDR': { cme: 100, on: [1] } } });
    await expect.poll(() => link.transport.counts().polls).toBeGreaterThan(polls + 3);
    expect(link.transport.counts().rungs.context).toBe(0);
    expect(link.isUp()).toBe(true);
  });

  test('runs a user’s command while it waits for a registration', async () => {
    const link = await makeModemLink('quectel');
    link.modem.setRegistration('searching');
    await link.start();
    await expect.poll(() => link.commands.filter((one) => one.startsWith('AT+CEREG?')).length).toBeGreaterThan(1);
    const before = performance.now();
    expect(await link.transport.modem.at('AT+CSQ')).toEqual([expect.stringMatching(/^\+CSQ: \d+,99$/), 'OK']);
    expect(performance.now() - before).toBeLessThan(5000);
    expect(link.isUp()).toBe(false);
  });

  test('logs which other programs have the port open', async () => {
    const link = await startModemLink('ublox');
    const seen = () => link.recording.withMessage('another program has the modem’s port open');
    expect(seen()).toEqual([]);
    const pid = await openBy('ModemManager', link.modem.path ?? '');
    link.modem.sendGarbage(Buffer.from('\r\nAT+GCAP\r\n'));
    await expect.poll(seen, WAIT).toMatchObject([{ details: { holders: [expect.stringContaining(`(pid ${pid}`)] } }]);
    // The program is still there when the port returns.
    await link.transport.stop();
    const again = link.another();
    await again.start();
    await expect.poll(seen, WAIT).toHaveLength(2);
  });

  test('stores its state before it acts, restores it after a restart, and ignores a damaged file', async () => {
    const stateFolder = temporaryFolder();
    const path = join(stateFolder, 'modem.json');
    writeFileSync(path, '{"rung":');
    const link = await startModemLink('quectel', { stateFolder });
    expect(link.recording.withMessage('state file: cannot be read; starting without it')).toHaveLength(1);
    link.answer();
    link.modem.dropContext();
    await link.roundTrip('after the context');
    await expect
      .poll(() => JSON.parse(readFileSync(path, 'utf8')), WAIT)
      .toMatchObject({ rung: null, counts: { context: 1 } });
    await link.transport.stop();
    const again = await startModemLink('quectel', { stateFolder });
    expect(again.transport.counts().rungs.context).toBe(1);
  });

  test('waits for a missing port, and sends nothing meanwhile', async () => {
    const link = await startModemLink('quectel');
    const resetting = link.modem.reset();
    await expect.poll(link.isUp, WAIT).toBe(false);
    expect(await link.send(Buffer.from('x'))).toMatchObject({ code: 'link-down' });
    await resetting;
    await link.up();
    expect(await link.send(Buffer.from('x'))).toBeUndefined();
  });

  test('reports the sends of a burst in order, and refuses what exceeds its queue', async () => {
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
    await expect.poll(() => link.replies.map(String), WAIT).toEqual(ended.map((n) => `datagram ${n}`));
  });
});
