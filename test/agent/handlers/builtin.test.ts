import { networkInterfaces } from 'node:os';
import { delimiter } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createClockCheck } from '../../../agent/base/clock-sync.js';
import { encodeAnswers } from '../../../agent/command/codec/encode.js';
import { commands } from '../../../agent/handlers/builtin/commands.js';
import { echo } from '../../../agent/handlers/builtin/echo.js';
import { health } from '../../../agent/handlers/builtin/health.js';
import { info } from '../../../agent/handlers/builtin/info.js';
import { ping } from '../../../agent/handlers/builtin/ping.js';
import type { HandlerDefinition } from '../../../agent/handlers/handler.js';
import { addHandler, compileHandler, type Registry } from '../../../agent/handlers/registry.js';
import type { Params } from '../../../shared/command.js';
import { VERSION } from '../../../shared/version.js';
import { temporaryFolder, writeScript } from '../../support/files.js';
import { MODEM_HEALTH } from '../../support/links.js';
import { contextFor } from './support.js';

vi.mock('node:os', { spy: true });

async function run(definition: HandlerDefinition, given: Partial<Params> = {}): Promise<unknown> {
  const handler = compileHandler(definition);
  const params = { positional: [], named: {}, ...given };
  const bound = handler.bind(params, true);
  if ('error' in bound) throw new Error(bound.error.message);
  return handler.run(bound.value, contextFor({ params }));
}

/** Asserts that a result goes into one datagram whole, in each format. */
function expectToFit(result: unknown): void {
  for (const format of ['text', 'json', 'cbor'] as const) {
    const bytes = encodeAnswers(format, [{ id: 'x'.repeat(64), reply: { result } }], false);
    expect(Buffer.from(bytes ?? []).toString('latin1')).not.toMatch(/cut/);
  }
}

describe('ping', () => {
  it('answers pong, and takes nothing', async () => {
    expect(await run(ping)).toBe('pong');
    await expect(run(ping, { positional: ['x'] })).rejects.toThrow('no parameters');
  });
});

describe('echo', () => {
  it.each<[string, Partial<Params>, unknown]>([
    ['nothing', {}, {}],
    ['one value as it is', { positional: ['a b'] }, 'a b'],
    ['bytes as they are', { positional: [new Uint8Array([0, 255])] }, new Uint8Array([0, 255])],
    ['several as a list', { positional: ['a', 1] }, ['a', 1]],
    ['those by name', { named: { a: '1' } }, { a: '1' }],
    ['both', { positional: ['x'], named: { a: '1' } }, { a: '1', args: ['x'] }],
  ])('gives back %s', async (_what, params, result) => {
    expect(await run(echo, params)).toEqual(result);
  });
});

describe('info', () => {
  it('tells what the device is', async () => {
    const told = await run(info('box-1'));
    expect(Object.keys(Object(told))).toEqual([
      'device',
      'agent',
      'agentUptime',
      'uptime',
      'bootId',
      'addresses',
      'model',
      'os',
      'kernel',
      'node',
    ]);
    expect(told).toMatchObject({
      device: 'box-1',
      agent: VERSION,
      agentUptime: expect.any(Number),
      bootId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      kernel: expect.stringContaining(process.arch),
      node: process.versions.node,
    });
    expect(JSON.stringify(told)).not.toMatch(/\\[n0u]/);
  });

  it('fits one datagram in each format, also on a device with many containers and a long name', async () => {
    const address = (name: string, host: string) => ({ address: host, internal: name === 'lo' });
    const many = Array.from({ length: 60 }, (_, index): [string, unknown[]] => {
      const name = index === 0 ? 'lo' : `veth0123abc@${index}`.slice(0, 15);
      const hosts = ['fe80::1234:56ff:fe78:9abc', '2001:0db8:1111:2222:3333:4444:5555:6666', '100.64.0.2'];
      return [name, hosts.map((host) => address(name, host))];
    });
    vi.mocked(networkInterfaces).mockReturnValue(JSON.parse(JSON.stringify(Object.fromEntries(many))));
    onTestFinished(() => void vi.mocked(networkInterfaces).mockReset());
    const told = await run(info('ü'.repeat(64)));
    expect(told).toMatchObject({ addresses: expect.stringContaining('veth0123abc@1=2001:') });
    expect(told).not.toMatchObject({ addresses: expect.stringMatching(/lo=|fe80/) });
    expectToFit(told);
  });
});

describe('a device with a modem', () => {
  const link = () => ({
    name: 'udp',
    since: Date.UTC(2026, 0, 2, 3, 4, 5),
    switches: 2,
    links: [
      { name: 'udp', up: true, since: 0 },
      { name: 'modem', up: true, since: 0, modem: MODEM_HEALTH },
    ],
  });

  it('tells what modem and SIM it has, and how they are, whichever link is in use', async () => {
    const told = await run(info('box-1', link));
    const { model, imei, iccid, registration, operator, signalDbm } = MODEM_HEALTH;
    expect(told).toMatchObject({ link: 'udp', modem: model, imei, iccid });
    expectToFit(told);
    const state = await run(health(createClockCheck(), link));
    const linkSince = '2026-01-02T03:04:05Z';
    expect(state).toMatchObject({ link: 'udp', linkSince, linkSwitches: 2, registration, operator, signalDbm });
    expect(state).toMatchObject({ modemRecoveries: 7, modemUrcsLost: 6, modemDiscardedBytes: 42 });
    expectToFit(state);
  });
});

describe('health', () => {
  /** Puts a program called timedatectl first in PATH. */
  function fakeTimedatectl(script: string): void {
    const folder = temporaryFolder();
    writeScript(script, folder, 'timedatectl');
    vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`);
  }

  it('tells how the device is, in one datagram', async () => {
    fakeTimedatectl('echo yes');
    const told = await run(health(createClockCheck()));
    expect(told).toMatchObject({
      load1: expect.any(Number),
      memoryFreeMB: expect.any(Number),
      memoryTotalMB: expect.any(Number),
      agentMemoryMB: expect.any(Number),
      diskFreeMB: expect.any(Number),
      diskTotalMB: expect.any(Number),
      clockSynchronized: true,
    });
    expect(told).toHaveProperty('temperatureC');
    expectToFit(told);
  });

  it('asks timedatectl for just the one thing', async () => {
    fakeTimedatectl('[ "$*" = "show --property=NTPSynchronized --value" ] && echo yes');
    expect(await run(health(createClockCheck()))).toMatchObject({ clockSynchronized: true });
  });

  it.each([
    ['no', 'echo no'],
    ['nothing', ''],
    ['something else', 'echo n/a'],
    ['yes, and then fails', 'echo yes; exit 1'],
    ['more than anyone would read', 'yes yes | head -c 100000'],
  ])('takes the clock for not synchronised when timedatectl says %s', async (_what, script) => {
    fakeTimedatectl(script);
    expect(await run(health(createClockCheck()))).toMatchObject({ clockSynchronized: false });
  });

  it('takes the clock for not synchronised where there is no timedatectl', async () => {
    vi.stubEnv('PATH', temporaryFolder());
    expect(await run(health(createClockCheck()))).toMatchObject({ clockSynchronized: false });
  });

  it('does not wait for ever for a timedatectl that hangs and ignores SIGTERM', async () => {
    fakeTimedatectl("trap '' TERM; exec sleep 1000");
    expect(await run(health(createClockCheck()))).toMatchObject({ clockSynchronized: false });
  });

  it('asks about the clock once a minute at most, however many ask for it', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const handler = health(createClockCheck());
    fakeTimedatectl('echo yes');
    const answers = await Promise.all([run(handler), run(handler)]);
    expect(answers).toMatchObject([{ clockSynchronized: true }, { clockSynchronized: true }]);
    fakeTimedatectl('echo no');
    vi.advanceTimersByTime(59_999);
    expect(await run(handler)).toMatchObject({ clockSynchronized: true });
    vi.advanceTimersByTime(1);
    expect(await run(handler)).toMatchObject({ clockSynchronized: false });
  });
});

describe('commands', () => {
  const registry: Registry = new Map();
  const list = commands(registry);
  for (const definition of [ping, list, health(createClockCheck())]) addHandler(registry, compileHandler(definition));

  it('lists names, parameters and descriptions, its own among them', async () => {
    expect(await run(list)).toEqual([
      { name: 'ping', params: '', description: 'Answers pong' },
      { name: 'commands', params: '[prefix:string]', description: expect.any(String) },
      { name: 'health', params: '', description: expect.any(String) },
    ]);
  });

  it('lists those with a prefix', async () => {
    expect(await run(list, { positional: ['he'] })).toMatchObject([{ name: 'health' }]);
    expect(await run(list, { named: { prefix: 'none' } })).toEqual([]);
  });
});
