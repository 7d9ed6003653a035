import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import type { ConfigInput } from '../../../agent/config/schema.js';
import type { HandlerDefinition } from '../../../agent/handlers/handler.js';
import { loadHandlers } from '../../../agent/handlers/load.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { contextFor } from './support.js';

const BUILT_INS = ['ping', 'echo', 'info', 'health', 'commands', 'device.reboot', 'agent.restart'];

/** A module as a handler's author writes it; vitest cannot be asked for the package itself, so it imports nothing. */
const writeModule = (text: string, mode?: number) => writeFile(temporaryFolder(), 'handler.mjs', text, mode);

const GOOD = `export default { name: 'good', description: 'Works', run: ({ args }) => ['good', ...args] }`;

/** Loads the handlers of a configuration, and says which there are besides the built-ins and what was logged. */
async function load(config: ConfigInput, own: HandlerDefinition[] = []) {
  const { log, lines } = recordingLog();
  const { registry, checkFiles } = await loadHandlers(resolveConfig(config), own, log);
  await checkFiles();
  expect([...registry.keys()].slice(0, BUILT_INS.length)).toEqual(BUILT_INS);
  return { registry, names: [...registry.keys()].slice(BUILT_INS.length), lines };
}

describe('loadHandlers for a module', () => {
  it('loads each exported handler once, by default or by name', async () => {
    const path = writeModule(`
      const one = { name: 'one', description: 'One', safe: true, timeout: '5s', run: () => 1 };
      export default one;
      export { one };
      export const two = { name: 'two', description: 'Two', run() { return this.name; } };
      export const helper = 5, text = 'x', nothing = null, list = [], options = { name: 'no handler' };
      export function run() {}`);
    const { registry, names, lines } = await load({ modules: [path] });
    expect(names.toSorted()).toEqual(['one', 'two']);
    expect(registry.get('one')).toMatchObject({ safe: true, idempotent: true, timeoutMs: 5000 });
    expect(registry.get('two')?.run({}, contextFor())).toBe('two');
    expect(lines).toEqual([]);
  });

  it('accepts an instance of a class', async () => {
    const path = writeModule(`
      class Relay { name = 'relay'; description = 'A relay'; run() { return this.name; } }
      export default new Relay();`);
    const { registry } = await load({ modules: [path] });
    expect(registry.get('relay')?.run({}, contextFor())).toBe('relay');
  });

  it.each([
    ['has a syntax error', 'export default {'],
    ['throws while it loads', `throw new Error('no such board')`],
    ['throws something that is no error', 'throw undefined'],
    ['imports what is not there', `import 'a-package-that-is-not-there'`],
    ['exports nothing', ''],
    ['exports no handler', 'export const a = 1, b = null, c = { name: "x" }'],
  ])('logs a module that %s, and loads the next one', async (_what, text) => {
    const bad = writeModule(text);
    const { names, lines } = await load({ modules: [bad, writeModule(GOOD)] });
    expect(names).toEqual(['good']);
    expect(lines).toMatchObject([{ level: 'error', details: { module: bad, code: 'handler-invalid' } }]);
    expect(lines[0]?.details['error']).toContain(bad);
  });

  it('logs a module that is missing or that others can write', async () => {
    const { names, lines } = await load({ modules: ['/nowhere/handler.mjs', writeModule(GOOD, 0o666)] });
    expect(names).toEqual([]);
    expect(lines.map(({ details }) => details['code'])).toEqual(['handler-invalid', 'program-unsafe']);
  });

  it('logs a module that exceeds the time limit', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const bad = writeModule('await new Promise(() => {});');
    const loading = load({ modules: [bad, writeModule(GOOD)] });
    await vi.waitUntil(() => vi.getTimerCount() > 0);
    await vi.advanceTimersByTimeAsync(10_000);
    const { names, lines } = await loading;
    expect(names).toEqual(['good']);
    expect(lines).toMatchObject([{ details: { module: bad, code: 'handler-invalid' } }]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    ['has no description', `name: 'bad', run() {}`],
    ['has a run that is no function', `name: 'bad', description: '', run: 5`],
    ['is called ok', `name: 'ok', description: '', run() {}`],
    ['has a name with a space', `name: 'a b', description: '', run() {}`],
    ['is called as another one', `name: 'good', description: '', run() {}`],
    ['is called as a built-in', `name: 'ping', description: '', run() {}`],
    ['has a timeout that is no duration', `name: 'bad', description: '', timeout: 'soon', run() {}`],
    ['has params of another library', `name: 'bad', description: '', params: { parse() {} }, run() {}`],
    ['has params that are no object of zod', `name: 'bad', description: '', params: { _zod: 1 }, run() {}`],
    ['throws when its name is looked at', `get name() { throw new Error('hidden'); }, run() {}`],
  ])('leaves out only the handler that %s', async (_what, members) => {
    const path = writeModule(`
      export const a = { name: 'good', description: '', run() {} };
      export const b = { ${members} };
      export const c = { name: 'after', description: '', run() {} };`);
    const { names, lines } = await load({ modules: [path] });
    expect(names).toContain('good');
    expect(lines).toMatchObject([{ level: 'error', details: { module: path } }]);
  });

  it('loads the handlers after an invalid one', async () => {
    const path = writeModule(`
      export const a = { name: 'error', description: '', run() {} };
      export const b = { name: 'after', description: '', run() {} };`);
    const { names, lines } = await load({ modules: [path] });
    expect(names).toEqual(['after']);
    expect(lines).toMatchObject([{ details: { handler: 'error', module: path, code: 'handler-invalid' } }]);
  });
});

describe('loadHandlers for a configured program', () => {
  it('loads it beside the built-in handlers', async () => {
    const { registry, names, lines } = await load({ handlers: { 'disk.free': { program: [writeScript('df')] } } });
    expect(names).toEqual(['disk.free']);
    expect(registry.get('disk.free')?.usage).toBe('[anything]');
    expect(lines).toEqual([]);
  });

  it('loads and logs a program that others can write, which fails until corrected', async () => {
    const path = writeFile(temporaryFolder(), 'script.sh', '#!/bin/sh\n', 0o777);
    const { names, lines } = await load({ handlers: { unsafe: { program: [path] } } });
    expect(names).toEqual(['unsafe']);
    expect(lines).toMatchObject([{ level: 'error', details: { handler: 'unsafe', code: 'program-unsafe' } }]);
  });

  it('logs an invalid program, and loads the others', async () => {
    const { names, lines } = await load({
      handlers: {
        ping: { program: ['/bin/true'] },
        relative: { program: ['bin/true'] },
        fine: { program: ['/bin/true'] },
      },
    });
    expect(names).toEqual(['fine']);
    expect(lines.map(({ details }) => details['handler'])).toEqual(['ping', 'relative']);
  });
});

describe('loadHandlers for handlers of an embedding program', () => {
  it('loads them, also for a raw port', async () => {
    const own = { name: 'frames', description: '', run: () => undefined };
    const raw = { listen: { ports: [{ port: 7000, format: 'raw' as const, handler: 'frames' }] } };
    expect((await load(raw, [own])).lines).toEqual([]);
    expect((await load(raw)).lines).toMatchObject([{ level: 'error', details: { port: 7000, handler: 'frames' } }]);
  });

  it('throws for an invalid one', async () => {
    const own = { name: 'ping', description: '', run: () => undefined };
    await expect(load({}, [own])).rejects.toMatchObject({ code: 'handler-invalid' });
  });
});

describe('loadHandlers for a configured socket', () => {
  it('loads and logs a missing socket', async () => {
    const { registry, names, lines } = await load({ handlers: { update: { socket: '/nowhere/update.sock' } } });
    expect(names).toEqual(['update']);
    expect(registry.get('update')?.usage).toBe('[anything]');
    expect(lines).toMatchObject([{ level: 'error', details: { handler: 'update', code: 'handler-invalid' } }]);
  });

  it('logs a duplicate name', async () => {
    const { names, lines } = await load({ handlers: { ping: { socket: '/nowhere/ping.sock' } } });
    expect(names).toEqual([]);
    expect(lines).toMatchObject([{ details: { handler: 'ping', code: 'handler-invalid' } }]);
  });
});
