import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { operator } from '../../../../sender/cli/keys/operator.js';
import { setUpKeys, startSims } from './support.js';

const THERE = { env: { SUPERSIM_MACHINE_ID: 'other' } };

async function setUp() {
  const keys = setUpKeys(await startSims(1));
  await keys.run(makeFleetKey, { kid: 7 });
  await keys.run(makeDeviceKeys, { sim: 'gateway-1' });
  return keys;
}

describe('supersim keys operator', () => {
  it('shows the file, whether it belongs here, and its fleet keys', async () => {
    const { run, read, path } = await setUp();
    const { code, stdout } = await run(operator);
    expect(code).toBe(EXIT.ok);
    expect(stdout).toContain(path);
    expect(stdout).toContain('belongs to this machine\n');
    expect(stdout).toContain(`fleet key  ${read().fleet[0]?.id}, kid 7, current\n`);
    expect((await run(operator, {}, THERE)).stdout).toContain('belongs to another machine');
  });

  it('makes a copied file one of its own; its SIMs need new key files', async () => {
    const { run, read } = await setUp();
    const { code, stdout, stderr } = await run(operator, { new: true }, THERE);
    const kid = read().fleet[0]?.kid;
    expect([code, read().keys.map(({ state }) => state)]).toEqual([EXIT.ok, ['foreign']]);
    expect(kid).not.toBe(7);
    expect(stdout).toContain(`kid ${kid}`);
    expect(stderr).toContain('1 SIM needs a new key file');
    const made = await run(makeDeviceKeys, { sim: 'gateway-1' }, THERE);
    expect(JSON.parse(made.stdout)).toMatchObject({ kid });
    expect(read().keys.map(({ state }) => state)).toEqual(['foreign', 'used']);
    expect((await run(makeDeviceKeys, { sim: 'gateway-1' })).stderr).toMatch(/^error keys-copied: /);
  });

  it('takes a kid only for a new one', async () => {
    const { run, read } = await setUp();
    expect((await run(operator, { kid: 9 })).code).toBe(EXIT.usage);
    expect((await run(operator, { new: true, kid: 7 }, THERE)).code).toBe(EXIT.usage);
    expect(read().fleet[0]?.kid).toBe(7);
    expect((await run(operator, { new: true, kid: 9 }, THERE)).code).toBe(EXIT.ok);
    expect(read().fleet[0]?.kid).toBe(9);
  });

  it('leaves the original as it is: its keys are in use', async () => {
    const { run, read } = await setUp();
    const { code, stderr } = await run(operator, { new: true });
    expect([code, read().keys.map(({ state }) => state)]).toEqual([EXIT.usage, ['used']]);
    expect(stderr).toContain('is no copy');
  });
});
