import { describe, expect, it } from 'vitest';
import { commands } from '../../../../agent/handlers/builtin/commands.js';
import { health } from '../../../../agent/handlers/builtin/health.js';
import { ping } from '../../../../agent/handlers/builtin/ping.js';
import { addHandler, compileHandler, type Registry } from '../../../../agent/handlers/registry.js';
import { run } from './support.js';

describe('the command commands', () => {
  const registry: Registry = new Map();
  const list = commands(registry);
  for (const definition of [ping, list, health({})]) addHandler(registry, compileHandler(definition));

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
});
