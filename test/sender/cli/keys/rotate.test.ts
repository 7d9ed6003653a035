import { describe, expect, it } from 'vitest';
import { EXIT, EXIT_BY_OUTCOME } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { listKeys } from '../../../../sender/cli/keys/ls.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { revoke } from '../../../../sender/cli/keys/revoke.js';
import { rotate } from '../../../../sender/cli/keys/rotate.js';
import type { TryKey } from '../../../../sender/cli/keys/try-key.js';
import { SupersimError } from '../../../../shared/errors.js';
import { writeFile } from '../../../support/files.js';
import { type Command, setUpKeys, startSims } from './support.js';

/** The command, with devices that answer as `tryKey` says. */
const rotating =
  (tryKey: TryKey = async () => true, signal = new AbortController().signal): Command =>
  (argv, io) =>
    rotate(argv, io, tryKey, signal);

/** SIMs that all have a key, and have been made another. */
async function setUp(count: number) {
  const loopback = await startSims(count);
  const keys = setUpKeys(loopback);
  await keys.run(makeFleetKey, { kid: 1 });
  const issue = async () => {
    for (const { sid } of loopback.sims) await keys.run(makeDeviceKeys, { sim: sid });
  };
  await issue();
  await keys.run(rotating(), { kid: 2 });
  await issue();
  const states = () => keys.read().keys.map(({ kid, state }) => `${kid} ${state}`);
  return { ...keys, loopback, sids: loopback.sims.map(({ sid }) => sid), states };
}

const BEFORE = ['1 used', '2 issued'];
const AFTER = ['1 former', '2 used'];

describe('supersim keys rotate', () => {
  it('makes another fleet key with another kid, and changes nothing for SIMs', async () => {
    const loopback = await startSims(1);
    const { run, read } = setUpKeys(loopback);
    expect((await run(rotating())).code).toBe(EXIT.usage);
    await run(makeFleetKey);
    await run(makeDeviceKeys, { sim: 'gateway-1' });
    const before = read();
    const { code, stdout, stderr } = await run(rotating());
    const after = read();
    expect(code).toBe(EXIT.ok);
    expect(after.keys).toEqual(before.keys);
    expect(after.fleet.map(({ isCurrent }) => isCurrent)).toEqual([false, true]);
    expect(after.fleet[0]?.kid).not.toBe(after.fleet[1]?.kid);
    expect(stdout).toContain(after.fleet[1]?.id);
    expect(stderr).toContain('supersim keys device --sim');
  });

  it('has a SIM use its new key once its device answers with that', async () => {
    const { run, read, states, sids } = await setUp(2);
    const tried: string[] = [];
    const { code, stdout } = await run(
      rotating(async (sim, { id }) => tried.push(sim, id) > 0),
      { sim: ['gateway-1'] },
    );
    const key = read().keys.find(({ sid, kid }) => sid === sids[0] && kid === 2);
    expect(tried).toEqual([sids[0], key?.id]);
    expect([code, stdout]).toEqual([EXIT.ok, `gateway-1: uses the key ${key?.id}\n`]);
    expect(states()).toEqual([...AFTER, ...BEFORE]);
  });

  it('leaves everything as it is where the device does not answer, or cannot be asked', async () => {
    const { run, states, sids, folder } = await setUp(3);
    const file = writeFile(folder, 'sims.csv', 'gateway-1\ngateway-2\ngateway-3\n');
    const { code, stdout, stderr } = await run(
      rotating(async (sim) => {
        if (sim === sids[0]) throw new SupersimError('not-delivered', 'not attached');
        return sim === sids[1];
      }),
      { file, json: true },
    );
    expect(code).toBe(EXIT_BY_OUTCOME.failed);
    expect(states()).toEqual([...BEFORE, ...AFTER, ...BEFORE]);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(3);
    expect(lines).toContainEqual(expect.objectContaining({ sim: sids[0], switched: false, message: 'not attached' }));
    expect(lines).toContainEqual(expect.objectContaining({ sim: sids[1], switched: true }));
    expect(lines).toContainEqual(expect.objectContaining({ sim: sids[2], switched: false }));
    expect(stderr).toContain('1 of 3 SIMs');
  });

  it('switches all SIMs that have a new key, at most 64 at once', async () => {
    const { run, states } = await setUp(70);
    let [asked, most] = [0, 0];
    const busy: TryKey = async () => {
      most = Math.max(most, ++asked);
      await new Promise((resolve) => setTimeout(resolve, 10));
      asked--;
      return true;
    };
    expect((await run(rotating(busy), { all: true })).code).toBe(EXIT.ok);
    expect(most).toBe(64);
    expect(states()).toEqual(Array.from({ length: 70 }, () => AFTER).flat());
    expect((await run(rotating(busy), { all: true })).stdout).toBe('');
  });

  it('says which SIMs have no new key, and asks them nothing', async () => {
    const { run } = await setUp(1);
    await run(rotating(), { all: true });
    const never: TryKey = async () => Promise.reject(new Error('asked'));
    const { code, stdout } = await run(rotating(never), { sim: ['gateway-1'] });
    expect(code).toBe(EXIT_BY_OUTCOME.failed);
    expect(stdout).toContain('has no new key');
  });

  it('switches nothing to a key that is revoked while its device is asked', async () => {
    const { run, states } = await setUp(1);
    const { code, stdout } = await run(
      rotating(async () => {
        await run(revoke, { sim: ['gateway-1'] });
        return true;
      }),
      { all: true },
    );
    expect([code, states()]).toEqual([EXIT_BY_OUTCOME.failed, ['1 revoked', '2 revoked']]);
    expect(stdout).toContain('revoked');
  });

  it('ends where no SIM can be switched, as in a copied file', async () => {
    const { run, states } = await setUp(2);
    const { code, stdout, stderr } = await run(rotating(), { all: true }, { env: { SUPERSIM_MACHINE_ID: 'other' } });
    expect([code, stdout]).toEqual([EXIT.usage, '']);
    expect(stderr).toMatch(/^error keys-copied: /m);
    expect(states()).toEqual([...BEFORE, ...BEFORE]);
  });

  it('stops asking when it is interrupted', async () => {
    const { run, states } = await setUp(9);
    const abort = new AbortController();
    const stopping: TryKey = async () => {
      abort.abort();
      return false;
    };
    expect((await run(rotating(stopping, abort.signal), { all: true })).code).toBe(EXIT.interrupted);
    expect(states().every((state) => BEFORE.includes(state))).toBe(true);
  });

  it('refuses a kid for SIMs, and SIMs without a key', async () => {
    const { run } = await setUp(1);
    expect((await run(rotating(), { sim: ['gateway-1'], kid: 4 })).code).toBe(EXIT.usage);
    expect((await run(rotating(), { sim: ['nobody'] })).code).toBe(EXIT.usage);
  });

  it('lets the old fleet key be revoked afterwards', async () => {
    const { run, read } = await setUp(2);
    const old = read().fleet[0]?.id;
    expect((await run(revoke, { keyid: old })).stderr).toContain('2 SIMs use');
    await run(rotating(), { all: true });
    expect((await run(revoke, { keyid: old })).code).toBe(EXIT.ok);
    expect(read().fleet[0]?.secret).toBeUndefined();
    expect((await run(listKeys)).stdout).toMatch(new RegExp(`^${old} .* revoked `, 'm'));
  });
});
