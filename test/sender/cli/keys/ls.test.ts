import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { listKeys } from '../../../../sender/cli/keys/ls.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { setUpKeys, startSims } from './support.js';

describe('supersim keys ls', () => {
  it('says where there are no keys', async () => {
    const { run, path } = setUpKeys();
    const { code, stderr } = await run(listKeys);
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain(path);
    expect(stderr).toContain('supersim keys new');
  });

  it('lists the fleet keys with the number of their SIMs, and the SIMs with their keys', async () => {
    const loopback = await startSims(2);
    const { run, read } = setUpKeys(loopback);
    await run(makeFleetKey, { kid: 7 });
    await run(makeDeviceKeys, { sim: 'gateway-1', allow: ['ping', 'relay.*'] });
    await run(makeDeviceKeys, { sim: 'gateway-2', device: 'pump' });
    const { fleet, keys } = read();
    const [first] = loopback.sims;

    const table = (await run(listKeys)).stdout.split('\n');
    expect(table[0]).toMatch(/^ID +KID +STATE +SIMS +CREATED_AT/);
    expect(table[1]).toMatch(new RegExp(`^${fleet[0]?.id} +7 +current +2 +20`));
    expect(JSON.parse((await run(listKeys, { json: true })).stdout)).toEqual({
      ...{ id: fleet[0]?.id, kid: 7, state: 'current', sims: 2 },
      created_at: fleet[0]?.createdAt,
    });

    const sims = (await run(listKeys, { sims: true })).stdout.trimEnd().split('\n');
    expect(sims).toHaveLength(3);
    expect(sims[1]).toMatch(/ping relay\.\*$/);
    expect(sims[2]).toMatch(/pump .* all$/);
    const [line = ''] = (await run(listKeys, { sims: true, json: true })).stdout.split('\n');
    expect(JSON.parse(line)).toEqual({
      ...{ sid: first?.sid, unique_name: 'gateway-1', iccid: first?.iccid, device: first?.iccid },
      ...{ id: keys[0]?.id, kid: 7, state: 'used', fleet_key: fleet[0]?.id, allow: ['ping', 'relay.*'] },
    });
  });
});
