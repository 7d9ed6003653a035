import { describe, expect, test } from 'vitest';
import { createPayloadMask } from '../../../../../agent/transport/modem/console/payload-mask.js';
import { DIALECTS } from '../../../../../agent/transport/modem/dialects/index.js';
import type { DialectName, ModemFaultsInput } from '../../../../../loopback/index.js';
import { EVERY_BYTE, makeModemLink, startModemLink } from '../../../../support/modem.js';
import { needs } from '../../../../support/needs.js';

const COMMANDS = 200;
const TEST_MS = 120_000;
/** With faults the other dialects are tested by `npm run soak` only, as that takes minutes. */
const ALWAYS_TRIED: DialectName = 'quectel';

/** What differs between the dialects. */
const OWN: Readonly<
  Record<DialectName, { readonly urc: string; readonly steps: readonly string[]; readonly read: string }>
> = {
  quectel: { urc: '+QIURC: "recv",0', steps: ['AT+QIACT=', 'AT+QIOPEN=', 'AT+QISDE'], read: 'AT+QIRD=0' },
  simcom7600: { urc: '+IPD5', steps: ['AT+NETOPEN', 'AT+CIPOPEN=', 'AT+CIPSRIP'], read: 'AT+CIPCLOSE?' },
  simcom7080: { urc: '+CADATAIND: 0', steps: ['AT+CNACT=', 'AT+CASERVER=', 'AT+CACFG'], read: 'AT+CARECV=' },
  ublox: { urc: '+UUSORF: 0,9', steps: ['AT+UPSDA=', 'AT+USOCR=', 'AT+UDCONF'], read: 'AT+USORF=0' },
};
const COMMON_STEPS = ['ATE0', 'AT+CMEE', 'AT+CGMM', 'AT+CPIN?', 'AT+CGDCONT=', 'AT+CFUN=1', 'AT+CEREG?', 'AT+CGPADDR'];

/** Faults that change only the form of the modem's output. */
const HARMLESS: readonly ModemFaultsInput[] = [
  { chunks: 'byte' },
  { chunks: 'all' },
  { prompt: 'bare' },
  { prompt: 'space' },
  { prompt: 'newline' },
  { lineEnds: 'lf' },
  { lineEnds: 'doubled-cr' },
  { urcDuplicate: 1 },
  { urcBetween: 1 },
  { urcExtra: 1 },
  { urcExtra: 0.5, urcBetween: 0.5, urcDuplicate: 0.5, chunks: 'byte', prompt: 'newline' },
  { sendBusy: [1, 3] },
  { sendFail: [1, 3] },
];

/** Faults that lose something. */
const HARMFUL: readonly ModemFaultsInput[] = [
  { lineLoss: 0.05 },
  { byteLoss: 0.02 },
  { byteDamage: 0.02 },
  { garbage: 0.2 },
  { garbage: 1 },
];

/** The tests of every dialect, with the virtual modem through a tty. */
export function describeModem(dialect: DialectName): void {
  const { urc } = OWN[dialect];
  const nasty = `\x00\x1a\x1b\r\nOK\r\n\r\nERROR\r\n+++${urc}\r\n\r\n${urc}\r\n> @"\r\nSEND OK\r\nRDY\r\n`;

  describe.skipIf(needs('node-pty'))(`the modem transport with ${dialect}`, { timeout: TEST_MS }, () => {
    test('brings the modem up, receives, and replies with every byte value', async () => {
      const link = await startModemLink(dialect);
      const { transport, received, replies, modem, loopback } = link;
      expect(transport.link()).toMatchObject({
        name: 'modem',
        links: [{ up: true, modem: { registration: 'roaming', operator: '23415' } }],
      });
      const sim = loopback.sims.find(({ uniqueName }) => uniqueName === modem.simName);
      expect(transport.address()).toBe(sim?.address);
      await link.command(EVERY_BYTE);
      await expect.poll(() => received.length).toBe(1);
      expect(received[0]).toMatchObject({ port: 6969, transport: 'modem', source: { address: '100.64.0.1' } });
      expect(received[0]?.bytes).toEqual(EVERY_BYTE);
      expect(await link.send(EVERY_BYTE)).toBeUndefined();
      await expect.poll(() => replies).toEqual([EVERY_BYTE]);
      const all = transport.modem.log(0);
      const log = all.slice(all.findIndex(({ dir }) => dir === 'tx'));
      const mask = createPayloadMask([DIALECTS[dialect].grammar]);
      const shown = log.map(({ hex }) => hex).join('');
      const hidden = log
        .flatMap(({ t, dir, hex }) => mask.hide({ at: t, direction: dir, bytes: Buffer.from(hex, 'hex') }) ?? [])
        .map(({ bytes }) => bytes.toString('hex'))
        .join('');
      expect(shown).toContain(EVERY_BYTE.toString('hex'));
      expect(hidden).not.toContain(EVERY_BYTE.subarray(0x80, 0x90).toString('hex'));
      expect(hidden.length).toBe(shown.length);
    });

    test(`answers ${COMMANDS} commands in a row, each once`, async () => {
      const link = await startModemLink(dialect);
      const { discarded } = link.transport.counts();
      link.answer();
      const texts = Array.from({ length: COMMANDS }, (_, n) => `command ${n}`);
      for (const text of texts) await link.command(text);
      await expect.poll(() => link.replies.length, { timeout: 30_000 }).toBe(COMMANDS);
      expect(link.replies.map(String).sort()).toEqual([...texts].sort());
      expect(link.transport.counts().discarded).toBe(discarded);
    });

    test('sends datagrams up to the modem’s limit, and refuses longer ones', async () => {
      const link = await startModemLink(dialect);
      const most = Math.min(1300, DIALECTS[dialect].maxSend);
      const bytes = Buffer.alloc(most, EVERY_BYTE);
      expect(link.transport.maxBytes()).toBe(most);
      expect(await link.send(bytes)).toBeUndefined();
      await expect.poll(() => link.replies).toEqual([bytes]);
      expect(await link.send(Buffer.alloc(most + 1))).toMatchObject({ code: 'too-large' });
      const long = 'x'.repeat(1300);
      await link.command(long);
      await expect.poll(() => link.received.map(({ bytes }) => bytes.toString())).toEqual([long]);
    });

    test('loses and duplicates no datagram with any harmless fault of the modem’s output', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      for (const [index, faults] of HARMLESS.entries()) {
        link.modem.setFaults(faults);
        const before = link.replies.length;
        const sent = Array.from({ length: 5 }, (_, n) => Buffer.from(`${index} ${n} ${nasty}`, 'latin1'));
        for (const bytes of sent) await link.command(bytes);
        // The URC of a simcom7600 is the datagram: duplicated, it arrives twice, as from the network.
        const isTwice = dialect === 'simcom7600' && faults.urcDuplicate !== undefined;
        const all = () => link.replies.slice(before).map((bytes) => bytes.toString('latin1'));
        const came = () => (isTwice ? [...new Set(all())] : all());
        await expect.poll(() => came().length, { message: JSON.stringify(faults) }).toBeGreaterThanOrEqual(5);
        expect(came().sort(), JSON.stringify(faults)).toEqual(sent.map((bytes) => bytes.toString('latin1')).sort());
      }
      expect(link.isUp()).toBe(true);
    });

    test('finds by its polls that the context was lost without a URC', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      link.modem.setFaults({ urcLoss: 1 });
      link.modem.dropContext();
      await expect.poll(() => link.transport.counts().rungs.context).toBeGreaterThan(0);
      link.modem.setFaults({});
      await link.roundTrip('after the context');
    });

    // A simcom7600 sends the data itself unasked: a lost one cannot be found.
    if (dialect !== 'simcom7600')
      test('finds by its polls the data that the modem did not announce', async () => {
        const link = await startModemLink(dialect);
        link.answer();
        link.modem.setFaults({ urcLoss: 1 });
        const texts = ['one', 'two', 'three'];
        for (const text of texts) await link.command(text);
        await expect.poll(() => link.replies.map(String)).toEqual(texts);
        const { dataUrcs, dataUrcsLost, polls } = link.transport.counts();
        expect(dataUrcsLost).toBeGreaterThan(0);
        expect(polls).toBeGreaterThanOrEqual(dataUrcsLost);
        link.modem.setFaults({});
        await link.roundTrip('said');
        expect(link.transport.counts()).toMatchObject({
          dataUrcsLost,
          dataUrcs: expect.toSatisfy((n) => n > dataUrcs),
        });
      });

    if (dialect === ALWAYS_TRIED || process.env['SOAK_MODEMS'] !== undefined) describeFaults(dialect);
  });
}

/** Tests with faults from which the transport has to recover. */
function describeFaults(dialect: DialectName): void {
  const { steps, read } = OWN[dialect];
  describe('with faults', () => {
    test('recovers from lost and damaged bytes', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      for (const [index, faults] of HARMFUL.entries()) {
        link.modem.setFaults(faults, index);
        for (let n = 0; n < 5; n++) await link.command(`${index} ${n}`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        link.modem.setFaults({});
        await link.roundTrip(`after ${index}`, 60_000);
      }
    });

    test('comes up although any one step of the bring-up fails', async () => {
      const all = [...COMMON_STEPS, ...steps].map(async (step) => {
        const link = await makeModemLink(dialect, { modem: { faults: { errors: { [step]: { cme: 100, on: [1] } } } } });
        await link.start();
        await link.up(60_000);
        link.answer();
        await link.roundTrip(step);
      });
      await Promise.all(all);
    });

    test('recovers when a socket is closed, the context dropped, or the registration lost', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      link.modem.closeSocket();
      await link.roundTrip('after the socket');
      link.modem.dropContext();
      await link.roundTrip('after the context');
      link.modem.setRegistration('searching');
      await expect.poll(link.isUp).toBe(false);
      expect(await link.send(Buffer.from('x'))).toMatchObject({ code: 'link-down' });
      link.modem.setRegistration('home');
      await link.up();
      await link.roundTrip('after the registration');
      link.modem.sendGarbage();
      link.modem.setFaults({ errors: { [read]: { cme: 100, on: [1] } } });
      await link.roundTrip('after a refusal');
    });

    test('recovers when the modem is silent for a while', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      link.modem.setFaults({ silent: 'yes' });
      const sent = link.send(Buffer.from('into the void'));
      await expect.poll(link.isUp, { timeout: 40_000 }).toBe(false);
      expect(await sent).toMatchObject({ code: 'link-down' });
      link.modem.setFaults({});
      await link.roundTrip('after the silence', 60_000);
    });

    test('recovers when the modem restarts at any byte', async () => {
      const link = await startModemLink(dialect);
      link.answer();
      for (const resetAfterSent of [1, 30, 150]) {
        link.modem.setFaults({ resetAfterSent });
        await link.roundTrip(`said ${resetAfterSent}`, 60_000);
      }
      for (const resetAfterHeard of [3, 40, 200]) {
        link.modem.setFaults({ resetAfterHeard });
        await link.roundTrip(`heard ${resetAfterHeard}`, 60_000);
      }
      await link.modem.reset();
      await link.roundTrip('after a reset');
    });
  });
}
