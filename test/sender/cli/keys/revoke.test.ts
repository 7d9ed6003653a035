import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { revoke } from '../../../../sender/cli/keys/revoke.js';
import { writeFile } from '../../../support/files.js';
import { setUpKeys, startSims } from './support.js';

async function setUp(count = 2) {
  const loopback = await startSims(count);
  const keys = setUpKeys(loopback);
  await keys.run(makeFleetKey, { kid: 7 });
  for (const { sid } of loopback.sims) await keys.run(makeDeviceKeys, { sim: sid });
  return { ...keys, loopback, states: () => keys.read().keys.map(({ state }) => state) };
}

describe('supersim keys revoke', () => {
  it('revokes the keys of SIMs without the API, and says what to delete on the devices', async () => {
    const { run, read, states } = await setUp();
    const { code, stdout, stderr } = await run(
      revoke,
      { sim: ['gateway-1'] },
      { env: { SUPERSIM_API_URL: 'http://127.0.0.1:9' } },
    );
    expect([code, states()]).toEqual([EXIT.ok, ['revoked', 'used']]);
    expect(stdout).toContain(`revoked key ${read().keys[0]?.id}`);
    expect(stderr).toMatch(/sudo rm \/etc\/supersim-agent\/keys\/operator-7-[0-9a-f]{4}\.json/);
  });

  it('revokes those of a list, or of none', async () => {
    const { run, folder, states } = await setUp(3);
    const list = (text: string) => ({ file: writeFile(folder, 'sims.csv', text) });
    expect((await run(revoke, list('gateway-1\nnobody\n'))).code).toBe(EXIT.usage);
    expect(states()).toEqual(['used', 'used', 'used']);
    expect((await run(revoke, list('gateway-1\ngateway-3\n'))).code).toBe(EXIT.ok);
    expect(states()).toEqual(['revoked', 'used', 'revoked']);
  });

  it('works on a copy too: it protects nothing', async () => {
    const { run, states } = await setUp();
    await run(revoke, { sim: ['gateway-1'] }, { env: { SUPERSIM_MACHINE_ID: 'other' } });
    expect(states()).toEqual(['revoked', 'used']);
  });

  it.each([
    ['nothing', {}],
    ['a fleet key that there is not', { keyid: 'abc' }],
    ['a SIM that there is not', { sim: ['nobody'] }],
  ])('refuses %s', async (_, argv) => {
    const { run, states } = await setUp();
    expect((await run(revoke, argv)).code).toBe(EXIT.usage);
    expect(states()).toEqual(['used', 'used']);
  });

  it('names the SIM where the id of its key is given', async () => {
    const { run, read, loopback } = await setUp();
    const { code, stderr } = await run(revoke, { keyid: read().keys[0]?.id });
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain(`--sim ${loopback.sims[0]?.sid}`);
  });
});
