import { lstatSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { DialectName, LoopbackEvent, LoopbackOptions, ModemEvent, ModemInput } from '../../../loopback/index.js';
import { DIALECT_NAMES, formatBanner, formatEvent } from '../../../loopback/index.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { authorization, client, device, isType, start as startAny } from '../support.js';
import { openPort } from './port.js';
import { P12 } from './support.js';

/** Starts a loopback with a modem, and waits until it is attached. */
async function start(modem: ModemInput, options: LoopbackOptions = {}) {
  const loopback = await startAny({ modem, ...options });
  const { modem: running } = loopback;
  if (running === undefined) throw new Error('there is no modem');
  await vi.waitFor(() => expect(running.status().attached).toBe(true), { timeout: 20_000, interval: 5 });
  await loopback.events.take((event) => event.type === 'sim' && event.state === 'active');
  return { loopback, modem: running, port: openPort(running.path ?? '') };
}

type Started = Awaited<ReturnType<typeof start>>;

const isModem =
  <W extends ModemEvent['what']>(what: W) =>
  (event: LoopbackEvent) =>
    event.type === 'modem' && event.event.what === what;

const toSim = ({ loopback, modem }: Started, payload: string, devicePort = 6969) =>
  client(loopback).ipCommands.create({
    sim: modem.simName,
    devicePort,
    payload: Buffer.from(payload, 'latin1').toString('base64'),
    payloadType: 'binary',
  });

/** Waits for the next from_sim command, and decodes its payload. */
async function fromSim({ loopback }: Started) {
  const event = await loopback.events.take((one) => one.type === 'command' && one.command.direction === 'from_sim');
  if (event.type !== 'command') throw new Error('no command');
  return { ...event.command, payload: Buffer.from(event.command.payload, 'base64').toString('latin1') };
}

const control = async ({ loopback }: Pick<Started, 'loopback'>, method: string, path: string, body?: unknown) => {
  const response = await fetch(`${loopback.url}/loopback/modem${path}`, {
    method,
    headers: authorization(loopback),
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json();
  return { status: response.status, body: answer };
};

interface Recipe {
  /** Commands that end with OK. */
  readonly setUp: readonly string[];
  /** Output that shows that the socket listens. */
  readonly listens: string;
  /** Output that announces a datagram. */
  readonly announced: string;
  readonly read: string;
  readonly header: RegExp;
  readonly send: (length: number) => string;
  readonly prompt: string;
  readonly sent: string;
}

const RECIPES: Readonly<Record<DialectName, Recipe>> = {
  quectel: {
    setUp: ['ATE0', 'AT+QISDE=0', 'AT+QIACT=1', 'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0'],
    listens: '+QIOPEN: 0,0\r\n',
    announced: '\r\n+QIURC: "recv",0\r\n',
    read: 'AT+QIRD=0\r',
    header: /\+QIRD: 12,"100\.64\.0\.1",\d+\r\n$/,
    send: (length) => `AT+QISEND=0,${length},"100.64.0.1",6969\r`,
    prompt: '\r\n> ',
    sent: '\r\nSEND OK\r\n',
  },
  simcom7600: {
    setUp: ['ATE0', 'AT+CIPSRIP=1', 'AT+CIPHEAD=1', 'AT+CIPRXGET=1', 'AT+NETOPEN'],
    listens: '+NETOPEN: 0\r\n',
    announced: '\r\n+CIPRXGET: 1,0\r\n',
    read: 'AT+CIPRXGET=2,0,1500\r',
    header: /\+CIPRXGET: 2,0,12,0\r\n$/,
    send: (length) => `AT+CIPSEND=0,${length},"100.64.0.1",6969\r`,
    prompt: '\r\n>',
    sent: '+CIPSEND: 0,12,12\r\n',
  },
  simcom7080: {
    setUp: ['AT\rAT\rATE0', 'AT+CNACT=0,1', 'AT+CASERVER=0,0,"UDP",6969', 'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969'],
    listens: '',
    announced: '\r\n+CANEW: 0,1,"100.64.0.1",',
    read: 'AT+CARECV=0,1459\r',
    header: /\+CARECV: 12,$/,
    send: (length) => `AT+CASEND=0,${length}\r`,
    prompt: '\r\n>',
    sent: '\r\nOK\r\n',
  },
  ublox: {
    setUp: ['ATE0', 'AT+UPSDA=0,3'],
    listens: '+UUPSDA: 0,',
    announced: '\r\n+UUSORF: 0,12\r\n',
    read: 'AT+USORF=0,1024\r',
    header: /\+USORF: 0,"100\.64\.0\.1",\d+,12,"$/,
    send: (length) => `AT+USOST=0,"100.64.0.1",6969,${length}\r`,
    prompt: '\r\n@',
    sent: '+USOST: 0,12\r\n\r\nOK\r\n',
  },
};

async function listen({ port }: Started, dialect: DialectName): Promise<void> {
  const { setUp, listens } = RECIPES[dialect];
  const output = [];
  for (const command of setUp) output.push(await port.ask(`${command}\r`));
  if (!output.join('').includes(listens)) await port.readThrough(listens);
  if (dialect === 'simcom7600') await port.ask('AT+CIPOPEN=0,"UDP",,,6969\r');
  if (dialect === 'ublox') await port.ask('AT+USOCR=17,6969\r');
}

describe.each(DIALECT_NAMES)('a virtual %s modem', (dialect) => {
  test('delivers a command to its tty, and sends a reply from there', async () => {
    const started = await start({ dialect });
    const { port, modem, loopback } = started;
    const recipe = RECIPES[dialect];
    await listen(started, dialect);
    await toSim(started, P12);
    await port.readThrough(recipe.announced);
    const read = await port.ask(recipe.read, '+Q>');
    const [before = ''] = read.split(P12);
    expect(read).toContain(P12);
    expect(before).toMatch(recipe.header);
    // Time for the output after the data.
    await pause(30);
    port.read();
    await port.ask(recipe.send(12), recipe.prompt);
    // u-blox requires 50 ms between its prompt and the bytes.
    await pause(60);
    await port.ask(P12, recipe.sent);
    expect(await fromSim(started)).toMatchObject({
      payload: P12,
      device_port: 6969,
      device_ip: loopback.sims.find(({ uniqueName }) => uniqueName === modem.simName)?.address,
    });
  });
});

describe('the SIM of a virtual modem', () => {
  test('is detached whenever the modem is not attached', async () => {
    const loopback = await startAny({ modem: { dialect: 'quectel' } });
    const state = () => loopback.sims.find(({ uniqueName }) => uniqueName === 'modem-1')?.state;
    expect(state()).toBe('detached');
    loopback.setSimState('active', 'modem-1');
    expect(state()).toBe('detached');
    await vi.waitFor(() => expect(state()).toBe('active'), { timeout: 20_000, interval: 5 });
    loopback.modem?.setRegistration('denied');
    expect(state()).toBe('detached');
    const { sid } = await client(loopback).ipCommands.create({ sim: 'modem-1', devicePort: 6969, payload: 'x' });
    const failed = await loopback.events.take((event) => event.type === 'command' && event.command.status === 'failed');
    expect(failed).toMatchObject({ command: { sid }, errorCode: 83401 });
    loopback.modem?.setRegistration('roaming');
    await vi.waitFor(() => expect(state()).toBe('active'), { timeout: 20_000, interval: 5 });
    loopback.setSimState('inactive', 'modem-1');
    loopback.modem?.setRegistration('idle');
    expect(state()).toBe('inactive');
  });

  test('can be a SIM of the loopback, whose datagrams go out by UDP when no socket takes them', async () => {
    const started = await start({ dialect: 'quectel', sim: 'gateway-1' });
    expect(started.loopback.sims.map(({ uniqueName }) => uniqueName)).toEqual(['gateway-1']);
    const socket = await device();
    await toSim(started, 'by UDP', socket.port);
    expect(String((await socket.next()).bytes)).toBe('by UDP');
    await listen(started, 'quectel');
    await toSim(started, 'by AT', 6969);
    await started.port.readThrough(RECIPES.quectel.announced);
  });

  test('does not reach the gateway with datagrams to the source port of commands', async () => {
    const started = await start({ dialect: 'quectel' });
    await listen(started, 'quectel');
    await toSim(started, P12);
    await started.port.readThrough(RECIPES.quectel.announced);
    const [, port = ''] = /"100\.64\.0\.1",(\d+)/.exec(await started.port.ask('AT+QIRD=0\r', '+Q>')) ?? [];
    await pause(30);
    await started.port.ask(`AT+QISEND=0,1,"100.64.0.1",${port}\r`, '> ');
    await started.port.ask('x', 'SEND OK\r\n');
    expect(await started.loopback.events.take((event) => event.type === 'dropped')).toMatchObject({
      cause: 'to-source-port',
    });
  });

  test('is subject to the faults of the radio network', async () => {
    const started = await start({ dialect: 'quectel' }, { faults: { down: { loss: [1] } } });
    await listen(started, 'quectel');
    await toSim(started, 'lost');
    await toSim(started, 'found');
    await started.port.readThrough(RECIPES.quectel.announced);
    expect(await started.port.ask('AT+QIRD=0\r')).toContain('found');
  });
});

describe('the tty of a virtual modem', () => {
  test('vanishes with its link in a reset, and comes back with default settings', async () => {
    const link = join(temporaryFolder(), 'modem');
    symlinkSync('/dev/pts/none', link);
    const { modem, port, loopback } = await start({ dialect: 'quectel', path: link });
    const { path } = modem;
    expect(readlinkSync(link)).toBe(path);
    await port.ask('ATE0\r');
    const back = modem.reset();
    await loopback.events.take((event) => isModem('tty')(event) && event.type === 'modem' && !('path' in event.event));
    expect(modem.path).toBeUndefined();
    expect(() => lstatSync(link)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(port.read()).toBeUndefined();
    await back;
    expect(readlinkSync(link)).toBe(modem.path);
    const again = openPort(link);
    await again.readThrough('+QIND: SMS DONE\r\n');
    expect(await again.ask('AT\r')).toContain('AT\r\r\nOK\r\n');
    await loopback.stop();
    expect(() => lstatSync(link)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  test('stays away for the time of the fault away, and comes back at once when it is plugged', async () => {
    const link = join(temporaryFolder(), 'modem');
    const { modem, loopback } = await start({ dialect: 'quectel', path: link, faults: { away: '1h' } });
    const isThere = () => modem.path !== undefined && readlinkSync(link) === modem.path;
    const back = modem.reset();
    await vi.waitFor(() => expect(modem.path).toBeUndefined());
    await pause(700);
    expect(() => lstatSync(link)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(modem.status()).toMatchObject({ path: null, plugged: true, attached: false, sockets: [] });
    await modem.plug();
    await back;
    expect(isThere()).toBe(true);
    modem.setFaults({ away: '0ms' });
    await modem.reset();
    expect(isThere()).toBe(true);
    modem.setFaults({ away: '24h' });
    void modem.reset();
    // Stopping does not wait for it.
    await loopback.stop();
  });

  test('is gone from unplugging until plugging, whatever happens meanwhile', async () => {
    const link = join(temporaryFolder(), 'modem');
    const started = await start({ dialect: 'quectel', path: link, faults: { away: '0ms' } });
    const { modem, port, loopback } = started;
    await listen(started, 'quectel');
    await modem.unplug();
    expect(() => lstatSync(link)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(port.read()).toBeUndefined();
    expect(modem.status()).toMatchObject({ path: null, plugged: false, attached: false, sockets: [] });
    await modem.unplug();
    await modem.reset();
    modem.setRegistration('home');
    modem.sendUrc('+LOST: 1');
    const { sid } = await client(loopback).ipCommands.create({ sim: 'modem-1', devicePort: 6969, payload: 'x' });
    const failed = await loopback.events.take((event) => event.type === 'command' && event.command.status === 'failed');
    expect(failed).toMatchObject({ command: { sid }, errorCode: 83401 });
    await pause(200);
    expect(modem.path).toBeUndefined();
    await modem.plug();
    expect(modem.status()).toMatchObject({ plugged: true, sockets: [] });
    const again = openPort(link);
    await again.readThrough('+QIND: SMS DONE\r\n');
    expect(await again.ask('AT\r')).toContain('AT\r\r\nOK\r\n');
    await vi.waitFor(() => expect(modem.status().registration).toBe('home'), { timeout: 20_000, interval: 5 });
  });

  test('vanishes again when it is unplugged while it comes back', async () => {
    const { modem, loopback } = await start({ dialect: 'quectel', faults: { away: '0ms' } });
    for (const ms of [0, 1, 2, 5, 10, 20]) {
      const back = modem.reset();
      await pause(ms);
      await modem.unplug();
      expect(modem.path).toBeUndefined();
      await pause(50);
      expect(modem.path).toBeUndefined();
      await modem.plug();
      await back;
      expect(modem.path).toBeDefined();
    }
    expect(loopback.events.items.filter(isType('error'))).toEqual([]);
  });

  test('vanishes after the answer to AT+CFUN=1,1', async () => {
    const { port, loopback } = await start({ dialect: 'quectel' });
    expect(await port.ask('AT+CFUN=1,1\r', 'POWERED DOWN\r\n')).toContain('\r\nOK\r\n');
    await loopback.events.take(isModem('restart'));
    await loopback.events.take(isModem('tty'));
  });

  test('restarts after exactly as many bytes, sent or received, as the fault says', async () => {
    const { port, modem, loopback } = await start({ dialect: 'quectel', faults: {} });
    await port.ask('ATE0\r');
    modem.setFaults({ resetAfterSent: 9 });
    expect(await port.ask('AT+CSQ\r', 'never')).toBe('\r\n+CSQ: 2');
    await vi.waitFor(() => expect(modem.status().attached).toBe(true), { timeout: 20_000, interval: 5 });
    const again = openPort(modem.path ?? '');
    modem.setFaults({ resetAfterHeard: 3 });
    again.write(Buffer.from('AT+CSQ\r'));
    expect(
      await loopback.events.take((event) => isModem('restart')(event) && formatEvent(event).includes('bytes received')),
    ).toBeDefined();
  });

  test('reports which processes open and close it, and keeps no output for nobody', async () => {
    const { port, modem, loopback } = await start({ dialect: 'quectel' });
    await port.ask('ATE0\r');
    expect(await loopback.events.take(isModem('users'))).toMatchObject({ event: { pids: [process.pid] } });
    modem.sendUrc('+UNREAD: 1');
    port.close();
    expect(await loopback.events.take(isModem('users'))).toMatchObject({ event: { pids: [] } });
    modem.sendUrc('+UNHEARD: 1');
    await pause(1500);
    const again = openPort(modem.path ?? '');
    expect(await again.ask('AT\r')).toBe('\r\nOK\r\n');
  });

  test('carries bytes at 9600 baud in both directions', async () => {
    const { port } = await start({ dialect: 'quectel', baud: 9600 });
    await port.ask('ATE0\r');
    const before = performance.now();
    // 96 bytes to the modem, 21 back, of ten bits each.
    await port.ask(`${' '.repeat(89)}AT+CSQ\r`);
    expect(performance.now() - before).toBeGreaterThan(115);
  });

  test('does not replace a file by its link', async () => {
    const path = writeFile(temporaryFolder(), 'modem', 'precious');
    await expect(startAny({ modem: { dialect: 'quectel', path } })).rejects.toMatchObject({ code: 'bad-input' });
  });
});

describe('/loopback/modem', () => {
  test('shows and changes the state, the faults and the tty', async () => {
    const started = await start({ dialect: 'quectel', faults: { urcLoss: [9] }, seed: 7 });
    const { modem, port, loopback } = started;
    await listen(started, 'quectel');
    expect(await control(started, 'GET', '')).toMatchObject({
      status: 200,
      body: {
        dialect: 'quectel',
        sim: 'modem-1',
        path: modem.path,
        link: null,
        baud: 0,
        registration: 'roaming',
        attached: true,
        simStatus: 'ready',
        dbm: -71,
        plugged: true,
        sockets: [{ id: 0, port: 6969, waiting: 0 }],
        faults: { urcLoss: [9], chunks: 'unit' },
        seed: 7,
      },
    });
    expect(await control(started, 'PUT', '/faults', { faults: { sendFail: 1 }, seed: 8 })).toMatchObject({
      body: { faults: { sendFail: 1, urcLoss: 0 }, seed: 8 },
    });
    expect(await loopback.events.take(isModem('faults'))).toMatchObject({ event: { faults: 'sendFail=1', seed: 8 } });
    expect(modem.faults()).toMatchObject({ faults: { sendFail: 1 }, seed: 8 });
    expect(await control(started, 'DELETE', '/faults')).toMatchObject({ body: { faults: { sendFail: 0 } } });
    await control(started, 'PUT', '', { dbm: -113, simStatus: 'ready' });
    expect(await port.ask('AT+CSQ\r')).toContain('+CSQ: 0,99');
    await control(started, 'POST', '', { action: 'urc', text: '+UMWI: 0,1' });
    expect(await port.readThrough('+UMWI: 0,1\r\n')).toBe('\r\n+UMWI: 0,1\r\n');
    await control(started, 'POST', '', { action: 'close-socket', id: 0 });
    await port.readThrough('+QIURC: "closed",0\r\n');
    await control(started, 'POST', '', { action: 'drop-context' });
    await port.readThrough('+QIURC: "pdpdeact",1\r\n');
    await control(started, 'POST', '', { action: 'garbage' });
    await vi.waitFor(() => expect(port.read()?.length).toBeGreaterThan(0), { timeout: 20_000, interval: 5 });
    expect(await control(started, 'PUT', '', { registration: 'searching' })).toMatchObject({
      body: { registration: 'searching', attached: false },
    });
    expect(await control(started, 'POST', '', { action: 'reset' })).toMatchObject({ body: { dialect: 'quectel' } });
    expect(modem.path).toBeDefined();
    expect(await control(started, 'POST', '', { action: 'unplug' })).toMatchObject({
      body: { path: null, plugged: false },
    });
    expect(await control(started, 'POST', '', { action: 'plug' })).toMatchObject({
      body: { path: modem.path, plugged: true },
    });
    expect(modem.path).toBeDefined();
  });

  test.each([
    ['PUT', '', { registration: 'lost' }],
    ['PUT', '', { signal: 1 }],
    ['POST', '', { action: 'explode' }],
    ['PUT', '/faults', { faults: { urcLoss: 2 } }],
    ['PUT', '/faults', {}],
  ])('%s %s %j is refused', async (method, path, body) => {
    const started = await start({ dialect: 'ublox' });
    expect(await control(started, method, path, body)).toMatchObject({ status: 400, body: { code: 'bad-input' } });
  });

  test('is not found without a modem', async () => {
    const loopback = await startAny();
    expect(loopback.modem).toBeUndefined();
    expect(await control({ loopback: Object.assign(loopback) }, 'GET', '')).toMatchObject({ status: 404 });
  });
});

test.each<ModemInput | object>([
  { dialect: 'nokia' },
  { dialect: 'quectel', baud: 5 },
  { dialect: 'quectel', quirks: { model: '3310' } },
  { dialect: 'quectel', quirks: { colour: 'red' } },
  { dialect: 'quectel', faults: { urcLoss: -1 } },
])('the modem options %j are refused', async (modem) => {
  await expect(startAny(JSON.parse(JSON.stringify({ modem })))).rejects.toMatchObject({ code: 'bad-input' });
});

test('the events of a virtual modem are printed', async () => {
  const started = await start({ dialect: 'quectel', faults: { sendBusy: [1] }, seed: 3 });
  const { loopback, port, modem } = started;
  expect(formatBanner(loopback)).toContain(`quectel at ${modem.path}, with the SIM modem-1`);
  expect(formatBanner(loopback)).toContain('faults sendBusy=#1 (seed 3)');
  await listen(started, 'quectel');
  await toSim(started, P12);
  await port.readThrough(RECIPES.quectel.announced);
  await port.ask('AT+QISEND=0,1,"100.64.0.1",6969\r', 'ERROR\r\n');
  await port.ask('AT+QISEND=0,1,"100.64.0.1",6969\r', '> ');
  await port.ask('x', 'SEND OK\r\n');
  const lines = loopback.events.items.map(formatEvent);
  for (const line of [
    'modem AT+QIACT=1 → OK',
    'modem datagram 12 bytes to port 6969',
    'modem URC +QIURC: "recv",0',
    'modem fault sendBusy',
    'modem datagram 1 bytes from port 6969 to 100.64.0.1:6969',
  ]) {
    expect(lines.map((text) => text.trim())).toContain(line);
  }
});
