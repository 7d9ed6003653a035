import { describe, expect, it } from 'vitest';
import { createClockCheck } from '../../../../agent/base/clock-sync.js';
import { encodeAnswers } from '../../../../agent/command/codec/encode.js';
import { commands } from '../../../../agent/handlers/builtin/commands.js';
import { health } from '../../../../agent/handlers/builtin/health.js';
import { ping } from '../../../../agent/handlers/builtin/ping.js';
import { addHandler, compileHandler, type Registry } from '../../../../agent/handlers/registry.js';
import { run } from './support.js';

describe('the command commands', () => {
  const registry: Registry = new Map();
  const list = commands(registry);
  for (const definition of [ping, list, health({ clockSynchronized: createClockCheck() })])
    addHandler(registry, compileHandler(definition));

  it('lists names, parameters and descriptions, including its own', async () => {
    expect(await run(list)).toEqual([
      { name: 'ping', params: '', description: 'Answers pong' },
      { name: 'commands', params: '[prefix:string]', description: expect.any(String) },
      { name: 'health', params: '', description: expect.any(String) },
    ]);
  });

  it('lists commands with a prefix', async () => {
    expect(await run(list, { positional: ['he'] })).toMatchObject([{ name: 'health' }]);
    expect(await run(list, { named: { prefix: 'none' } })).toEqual([]);
  });

  it('lists a handler that was added since', async () => {
    const own: Registry = new Map();
    const listOwn = commands(own);
    expect(await run(listOwn)).toEqual([]);
    addHandler(own, compileHandler(ping));
    expect(await run(listOwn)).toMatchObject([{ name: 'ping' }]);
  });

  it('begins a list that no datagram has room for as the whole would begin, with its size', async () => {
    const own: Registry = new Map();
    for (let index = 0; index < 1000; index++) {
      const description = `Sets the relay "${index}" – at once`;
      addHandler(own, compileHandler({ ...ping, name: `relay.${index}`, description }));
    }
    const whole = [...own.values()].map(({ name, usage, description }) => ({ name, params: usage, description }));
    expect(await run(commands(own), {}, 'coap')).toEqual(whole);
    for (const format of ['text', 'json', 'cbor'] as const) {
      const result = await run(commands(own), {}, format);
      expect(JSON.stringify(result).length).toBeLessThan(3000);
      const [short, long] = [result, whole].map((each) =>
        encodeAnswers(format, [{ id: 1, reply: { result: each } }], false),
      );
      expect(short).toEqual(long);
    }
  });
});
