import { chmodSync, existsSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import type { Config, ConfigInput } from '../../../agent/config/schema.js';
import { NUMBER_FILES } from '../../../agent/security/number-files.js';
import { createSecurity, readKeys, type Security } from '../../../agent/security/security.js';
import { WINDOW_FILE } from '../../../agent/security/window-file.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { openDescriptors } from '../../support/descriptors.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { keyFileText, startOperator } from '../../support/security.js';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 5, 1) });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The folders of a device with a key. */
function startDevice(config: ConfigInput = {}) {
  const folders = { keys: temporaryFolder(), state: join(temporaryFolder(), 'state') };
  writeFile(folders.keys, 'ops.json', keyFileText());
  const sources = { defaultFolder: folders.keys };
  const input = { state: { folder: folders.state }, ...config };
  const { log, lines } = recordingLog();
  const clock = { isSynchronized: true };
  /** Begins a run of the agent; it is not open. */
  const run = async (changed: Config = resolveConfig(input)): Promise<Security> =>
    createSecurity({
      config: changed,
      loaded: await readKeys(changed, sources),
      sources,
      isSynchronized: async () => clock.isSynchronized,
      log,
    });
  const begin = async () => {
    const security = await run();
    security.open();
    await ready(security);
    return security;
  };
  return { folders, sources, input, clock, lines, run, begin, config: resolveConfig(input) };
}

/** Waits for the disk, whose time is not the test's. */
const ready = (security: Security) =>
  vi.waitFor(() => {
    if (security.numbers.take() === undefined) throw new Error(`no number: ${security.status().numbers}`);
  });

/** Waits for something that takes time, and the disk too. */
async function settle(promise: Promise<unknown>): Promise<void> {
  let isSettled = false;
  void promise.then(() => {
    isSettled = true;
  });
  await vi.waitFor(() => expect(isSettled).toBe(true), { timeout: 20_000 });
}

/** Has a request accepted, by Echo where that is needed. */
function accept({ protection }: Security, operator: ReturnType<typeof startOperator>): Buffer {
  const first = protection.open(parseMessage(operator.protect().bytes));
  if (first.kind === 'refused') throw new Error(first.reason);
  if (first.kind === 'fresh') throw new Error('the window is known');
  const [option] = protection.challenge(first.request).options;
  const { bytes } = operator.protect({ options: [{ number: OPTION.echo, value: option?.value ?? Buffer.alloc(0) }] });
  const second = protection.open(parseMessage(bytes));
  if (second.kind !== 'fresh') throw new Error(second.kind);
  protection.accept(second.request);
  return bytes;
}

const windowKnown = (security: Security) => security.status().keys.map((key) => key.windowKnown);
const kindOf = ({ protection }: Security, bytes: Buffer) => protection.open(parseMessage(bytes)).kind;

describe('over a restart', () => {
  it('a clean stop keeps numbers and windows', async () => {
    const { begin, folders } = startDevice();
    const first = await begin();
    const bytes = accept(first, startOperator());
    const drawn = first.numbers.take() ?? 0;
    await first.stop();
    expect(existsSync(join(folders.state, WINDOW_FILE))).toBe(true);
    const second = await begin();
    expect(existsSync(join(folders.state, WINDOW_FILE))).toBe(false);
    expect(windowKnown(second)).toEqual([true]);
    expect(kindOf(second, bytes)).toBe('refused');
    expect(kindOf(second, startOperator().protect({ number: 2 ** 37 }).bytes)).toBe('fresh');
    await vi.advanceTimersByTimeAsync(100);
    expect(second.numbers.take()).toBeGreaterThan(drawn);
    await second.stop();
  });

  it('an unclean stop loses the windows, also those of the clean stop before', async () => {
    const { begin, run } = startDevice();
    const first = await begin();
    const bytes = accept(first, startOperator());
    await first.stop();
    await begin();
    // It is killed, and leaves its reservation: the clock must pass it.
    const third = await run();
    third.open();
    expect(windowKnown(third)).toEqual([false]);
    expect(kindOf(third, bytes)).toBe('unknown');
    expect(third.status().numbers).toBe('waiting');
    const whenReady = Promise.resolve(third.whenReady());
    await vi.advanceTimersByTimeAsync(8100);
    await settle(whenReady);
    expect(third.numbers.take()).toBeGreaterThan(0);
    await third.stop();
  });

  it('windows do not count once the number files were changed', async () => {
    const { begin, folders } = startDevice();
    const first = await begin();
    accept(first, startOperator());
    await first.stop();
    const [name] = NUMBER_FILES;
    const before = readFileSync(join(folders.state, name));
    const second = await begin();
    await second.stop();
    for (const each of NUMBER_FILES) writeFileSync(join(folders.state, each), before);
    const third = await begin();
    expect(windowKnown(third)).toEqual([false]);
    await third.stop();
  });
});

describe('the state folder', () => {
  it('is not touched before it is known that no other agent uses it, nor after the stop', async () => {
    const { run, folders } = startDevice();
    const security = await run();
    security.change(startDevice().config, await readKeys(startDevice().config, undefined));
    expect(existsSync(folders.state)).toBe(false);
    await security.stop();
    const before = openDescriptors(process.pid).length;
    security.open();
    expect(existsSync(folders.state)).toBe(false);
    expect(openDescriptors(process.pid).length).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that cannot be used is tried again', async () => {
    const { run, folders, lines } = startDevice();
    writeFileSync(folders.state, 'a file');
    const security = await run();
    security.open();
    expect(security.status().numbers).toBe('unwritable');
    expect(lines.map(({ level }) => level)).toEqual(['error']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lines).toHaveLength(2);
    unlinkSync(folders.state);
    await vi.advanceTimersByTimeAsync(60_000);
    await ready(security);
    expect(security.status().numbers).toBe('ready');
    await security.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that cannot be used is not tried again after the stop', async () => {
    const { run, folders, lines } = startDevice();
    writeFileSync(folders.state, 'a file');
    const security = await run();
    security.open();
    await security.stop();
    await vi.advanceTimersByTimeAsync(200_000);
    expect(lines).toHaveLength(1);
  });

  it('is used once there is a key', async () => {
    const { run, folders, config } = startDevice();
    const path = join(folders.keys, 'ops.json');
    unlinkSync(path);
    const security = await run();
    security.open();
    await security.whenReady();
    expect([existsSync(folders.state), security.status().numbers]).toEqual([false, undefined]);
    writeFile(folders.keys, 'ops.json', keyFileText());
    security.change(config, await security.prepare(config));
    await ready(security);
    await security.stop();
  });
});

describe('the time until protected messages can be sent', () => {
  it('ends when there are numbers for many', async () => {
    const { run } = startDevice();
    const security = await run();
    security.open();
    await settle(Promise.resolve(security.whenReady()));
    let drawn = 0;
    while (security.numbers.take() !== undefined) drawn++;
    expect(drawn).toBeGreaterThan(900);
    await security.stop();
  });

  it('ends after some seconds when nothing can be sent', async () => {
    const { run } = startDevice();
    const security = await run();
    const whenReady = security.whenReady();
    await vi.advanceTimersByTimeAsync(11_000);
    await whenReady;
    await security.stop();
  });

  it('ends at once where the numbers are lost and the clock is not synchronised, but for a second', async () => {
    const { run, clock } = startDevice();
    clock.isSynchronized = false;
    const security = await run();
    security.open();
    await vi.advanceTimersByTimeAsync(0);
    const whenReady = security.whenReady();
    await vi.advanceTimersByTimeAsync(1000);
    await whenReady;
    expect(security.status().numbers).toBe('unknown');
    await security.stop();
  });

  it('ends with a stop', async () => {
    const { run } = startDevice();
    const security = await run();
    const whenReady = security.whenReady();
    await security.stop();
    await whenReady;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a reload', () => {
  it('keeps keys that are the same, and their windows, and forgets others', async () => {
    const { begin, folders, config } = startDevice();
    const security = await begin();
    const before = startOperator();
    accept(security, before);
    const pending = security.protection.open(parseMessage(before.protect().bytes));
    if (pending.kind !== 'fresh') throw new Error(pending.kind);
    security.change(config, await security.prepare(config));
    expect(security.access.authorize(undefined, pending.request.caller)).toBeUndefined();
    expect(windowKnown(security)).toEqual([true]);
    writeFile(folders.keys, 'ops.json', keyFileText({ allow: ['ping'] }));
    security.change(config, await security.prepare(config));
    expect(security.access.authorize(undefined, pending.request.caller)).toBeUndefined();
    expect(windowKnown(security)).toEqual([true]);
    writeFile(folders.keys, 'ops.json', keyFileText({ masterSecret: Buffer.alloc(16, 3) }));
    security.change(config, await security.prepare(config));
    expect(security.access.authorize(undefined, pending.request.caller)?.code).toBe('forbidden');
    expect(windowKnown(security)).toEqual([false]);
    await security.stop();
  });

  it('that breaks the last key keeps the device closed', async () => {
    const { begin, folders, config } = startDevice();
    const security = await begin();
    chmodSync(join(folders.keys, 'ops.json'), 0o644);
    security.change(config, await security.prepare(config));
    expect(security.status()).toMatchObject({ required: true, keys: [], numbers: undefined });
    expect(security.status().problems).toHaveLength(1);
    expect(security.access.isOpen(5683, ['ping'])).toBe(false);
    await security.stop();
  });

  it('that would open the device, as the last key is gone, is refused unless that is written down', async () => {
    const { begin, folders, config, input } = startDevice();
    const security = await begin();
    rmSync(join(folders.keys, 'ops.json'));
    await expect(security.prepare(config)).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
    const open = resolveConfig({ ...input, security: { required: false } });
    security.change(open, await security.prepare(open));
    expect(security.status()).toMatchObject({ required: false, problems: [] });
    expect(security.access.isOpen(5683, ['ping'])).toBe(true);
    // What is open already is not opened by it.
    await expect(security.prepare(config)).resolves.toMatchObject({ keys: [] });
    await security.stop();
  });
});

describe('the keys of a configuration', () => {
  it('come from its folder, and from systemd’s credentials', async () => {
    const { config, sources } = startDevice();
    const credentials = temporaryFolder();
    writeFile(credentials, 'more.json', keyFileText({ kid: 2 }));
    expect((await readKeys(config, { ...sources, credentials })).keys.map(({ name }) => name)).toEqual(['ops', 'more']);
    expect((await readKeys(resolveConfig({}))).keys).toEqual([]);
  });

  it('cannot be used without a state folder, broken ones neither', async () => {
    const { config, folders, sources } = startDevice({ state: { folder: 'none' } });
    const isInvalid = expect.objectContaining({ code: 'config-invalid' });
    await expect(readKeys(config, sources)).rejects.toThrow(isInvalid);
    chmodSync(join(folders.keys, 'ops.json'), 0o644);
    await expect(readKeys(config, sources)).rejects.toThrow(isInvalid);
    unlinkSync(join(folders.keys, 'ops.json'));
    await expect(readKeys(config, sources)).resolves.toMatchObject({ keys: [] });
  });

  it('must have the one for events, unless a file cannot be used: that stops no agent', async () => {
    const { config, folders, sources } = startDevice({ events: { key: 'ops' } });
    await expect(readKeys(config, sources)).resolves.toMatchObject({ problems: [] });
    chmodSync(join(folders.keys, 'ops.json'), 0o644);
    expect((await readKeys(config, sources)).problems).toHaveLength(1);
    unlinkSync(join(folders.keys, 'ops.json'));
    await expect(readKeys(config, sources)).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it('are missed in a folder that is named, is there, and has none: its disk may not be mounted', async () => {
    const { input } = startDevice();
    const keys = temporaryFolder();
    const loaded = await readKeys(resolveConfig({ ...input, security: { keys } }));
    expect(loaded.problems).toMatchObject([{ code: 'key-invalid', message: expect.stringContaining(keys) }]);
  });
});
