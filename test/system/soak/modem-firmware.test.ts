import { describe, expect, test } from 'vitest';
import type { DialectName } from '../../../loopback/index.js';
import { EVERY_BYTE, startModemLink } from '../../support/modem.js';
import { needs } from '../../support/needs.js';

/** Variants of the firmware within one dialect. */
const FIRMWARE: readonly (readonly [DialectName, Readonly<Record<string, string>>])[] = [
  ['quectel', { model: 'EC200U', trailer: 'plain', urcSpace: 'no' }],
  ['quectel', { model: 'EG25', trailer: 'plain' }],
  [
    'simcom7600',
    {
      model: 'A7670',
      order: 'ok-first',
      netState: 'two',
      settles: 'yes',
      netClose: 'refuses',
      headers: 'closed-network',
    },
  ],
  [
    'simcom7080',
    { newPeer: 'canew-new-cid', casrip: 'no', sent: 'line-last', trailer: 'plain', appPdp: 'first', ccid: 'named' },
  ],
  ['simcom7080', { newPeer: 'cadataind', sent: 'line-first', autobaud: 'no' }],
  ['ublox', { model: 'SARA-R4', trailer: 'plain', commaSpace: 'yes' }],
  ['ublox', { model: 'SARA-U201', long: 'cut' }],
];
const BURST = 20;

describe.skipIf(needs('node-pty'))('a modem', { timeout: 120_000 }, () => {
  test.each(FIRMWARE)('of dialect %s works with the quirks %j of its firmware', async (dialect, quirks) => {
    const link = await startModemLink(dialect, { modem: { quirks } });
    expect(link.transport.link().links[0]?.modem).toMatchObject({ iccid: expect.stringMatching(/^\d{19,20}$/) });
    link.answer();
    const sent = Array.from({ length: BURST }, (_, n) => Buffer.concat([Buffer.from(`${n} `), EVERY_BYTE]));
    await Promise.all(sent.map((bytes) => link.command(bytes)));
    const inHex = (all: readonly Buffer[]) => all.map((bytes) => bytes.toString('hex')).sort();
    await expect.poll(() => inHex(link.replies), { timeout: 30_000 }).toEqual(inHex(sent));
    expect(new Set(link.received.map(({ source }) => source.address))).toEqual(new Set(['100.64.0.1']));
    if (dialect !== 'simcom7600') {
      link.modem.setFaults({ urcLoss: 1 });
      await link.command('not said');
      await expect.poll(() => link.replies.map(String)).toContain('not said');
    }
    link.modem.setFaults({});
    link.modem.dropContext();
    await link.roundTrip('after the context', 60_000);
    link.modem.closeSocket();
    await link.roundTrip('after the socket', 60_000);
    expect(link.transport.counts().rungs).toMatchObject({ airplane: 0, reset: 0 });
  });
});
