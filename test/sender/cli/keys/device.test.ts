import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseKeyFile } from '../../../../agent/security/key-file.js';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { revoke } from '../../../../sender/cli/keys/revoke.js';
import { rotate } from '../../../../sender/cli/keys/rotate.js';
import { writeFile } from '../../../support/files.js';
import { ACCOUNT, type Answer, json, startApi } from '../../support.js';
import { type Command, setUpKeys, startSims } from './support.js';

/** A new fleet key. */
const another: Command = (argv, io) => rotate(argv, io, async () => false, new AbortController().signal);

async function setUp(count = 1) {
  const loopback = await startSims(count);
  const keys = setUpKeys(loopback);
  await keys.run(makeFleetKey, { kid: 7 });
  const [sim] = loopback.sims;
  if (sim === undefined) throw new Error('no SIM');
  return { ...keys, loopback, sim, out: join(keys.folder, 'key.json') };
}

describe('supersim keys device', () => {
  it('writes a key file that the agent can read, and says how to install it', async () => {
    const { run, read, sim, out } = await setUp();
    const { code, stdout, stderr } = await run(makeDeviceKeys, { sim: 'gateway-1', out, allow: ['ping', 'relay.*'] });
    expect([code, stdout]).toEqual([EXIT.ok, '']);
    expect(statSync(out).mode & 0o7777).toBe(0o600);
    const file = parseKeyFile('operator', readFileSync(out, 'utf8'));
    expect(file).toMatchObject({ deviceId: sim.iccid, kid: 7, allow: ['ping', 'relay.*'] });
    expect(read().keys).toMatchObject([{ id: file.fingerprint, sid: sim.sid, state: 'used' }]);
    expect(stderr).toMatch(
      new RegExp(
        `sudo install -o root -g supersim-agent -m 640 ${out} /etc/supersim-agent/keys/operator-7-[0-9a-f]{4}\\.json && sudo supersim-agent reload`,
      ),
    );
  });

  it.each(['sid', 'iccid', 'uniqueName'] as const)(
    'finds the SIM by its %s, and prints the file to a pipe',
    async (name) => {
      const { run, sim } = await setUp();
      const { code, stdout } = await run(makeDeviceKeys, { sim: sim[name], device: 'pump 7' });
      expect(code).toBe(EXIT.ok);
      expect(parseKeyFile('operator', stdout)).toMatchObject({ deviceId: 'pump 7', kid: 7, allow: undefined });
    },
  );

  it('gives the same file again, and never overwrites another', async () => {
    const { run, read, out, folder } = await setUp();
    await run(makeDeviceKeys, { sim: 'gateway-1', out });
    const text = readFileSync(out, 'utf8');
    expect((await run(makeDeviceKeys, { sim: 'gateway-1', out })).code).toBe(EXIT.ok);
    expect((await run(makeDeviceKeys, { sim: 'gateway-1' })).stdout).toBe(text);
    const refused = await run(makeDeviceKeys, { sim: 'gateway-1', out, allow: ['ping'] });
    expect([refused.code, readFileSync(out, 'utf8')]).toEqual([EXIT.usage, text]);
    expect(refused.stderr).toContain(`${out} exists`);
    expect(read().keys[0]?.allow).toBeUndefined();
    expect(readdirSync(folder).sort()).toEqual(['key.json', 'test.keys', 'test.keys-journal']);
  });

  it('records nothing when the file cannot be written: requests would be protected with a key that nobody has', async () => {
    const { run, read, folder, out } = await setUp();
    writeFileSync(out, '{}');
    for (const path of [out, folder, join(folder, 'none', 'key.json')]) {
      expect((await run(makeDeviceKeys, { sim: 'gateway-1', out: path })).code).toBe(EXIT.usage);
    }
    expect(read().keys).toEqual([]);
  });

  it('shows no secret on a terminal', async () => {
    const { run, read } = await setUp();
    const { code, stdout } = await run(makeDeviceKeys, { sim: 'gateway-1' }, { isTTY: true });
    expect([code, stdout, read().keys]).toEqual([EXIT.usage, '', []]);
  });

  it.each([
    ['no SIM', {}],
    ['a SIM that there is not', { sim: 'nobody', out: 'x' }],
    ['a list without a folder', { file: 'x.csv' }],
    ['a pattern that is none', { sim: 'gateway-1', allow: ['relay*'] }],
    ['a device id that is none', { sim: 'gateway-1', device: 'gerät' }],
  ])('refuses %s', async (_, argv) => {
    const { run, read } = await setUp();
    expect((await run(makeDeviceKeys, argv)).code).toBe(EXIT.usage);
    expect(read().keys).toEqual([]);
  });

  it('does not show a secret that is given as the device id', async () => {
    const { run } = await setUp();
    const secret = 'ab'.repeat(16);
    const { code, stderr } = await run(makeDeviceKeys, { sim: 'gateway-1', device: secret });
    expect(code).toBe(EXIT.usage);
    expect(stderr).not.toContain(secret);
  });

  it('says that the key before is used until the device has the new one', async () => {
    const { run, read } = await setUp();
    await run(makeDeviceKeys, { sim: 'gateway-1' });
    await run(another);
    const { stderr } = await run(makeDeviceKeys, { sim: 'gateway-1' });
    expect(stderr).toContain(`the key ${read().keys[0]?.id} goes on being used`);
    expect(stderr).toContain('supersim keys rotate --sim gateway-1');
    expect(read().keys.map(({ state }) => state)).toEqual(['used', 'issued']);
  });

  it('is refused where the file was copied from another machine', async () => {
    const { run, read } = await setUp();
    const { code, stderr } = await run(makeDeviceKeys, { sim: 'gateway-1' }, { env: { SUPERSIM_MACHINE_ID: 'other' } });
    expect([code, read().keys]).toEqual([EXIT.usage, []]);
    expect(stderr).toMatch(/^error keys-copied: /);
  });
});

describe('supersim keys device --file', () => {
  it('makes a file for each SIM, and again the same', async () => {
    const { run, read, folder, loopback } = await setUp(12);
    const names = loopback.sims.map(({ uniqueName }) => uniqueName);
    const file = writeFile(folder, 'sims.csv', ['sim', ...names, names[0], ''].join('\n'));
    const out = join(folder, 'a', 'keys');
    for (let count = 0; count < 2; count++) {
      const { code, stdout, stderr } = await run(makeDeviceKeys, { file, out, allow: ['ping'] });
      expect([code, stdout]).toEqual([EXIT.ok, '']);
      expect(stderr).toContain(`${out}/SIM.json /etc/supersim-agent/keys/operator-7-`);
    }
    expect(readdirSync(out).sort()).toEqual(names.map((name) => `${name}.json`).sort());
    expect(statSync(out).mode & 0o7777).toBe(0o700);
    const made = read().keys;
    expect(made).toHaveLength(12);
    for (const { sid, iccid, uniqueName } of loopback.sims) {
      const { fingerprint, deviceId } = parseKeyFile('a', readFileSync(join(out, `${uniqueName}.json`), 'utf8'));
      expect(deviceId).toBe(iccid);
      expect(made.find((key) => key.sid === sid)?.id).toBe(fingerprint);
    }
  });

  it('records nothing when one of the SIMs may have no key', async () => {
    const { run, read, folder } = await setUp(3);
    await run(makeDeviceKeys, { sim: 'gateway-3' });
    await run(revoke, { sim: ['gateway-3'] });
    const file = writeFile(folder, 'sims.csv', 'gateway-1\ngateway-2\ngateway-3\n');
    expect((await run(makeDeviceKeys, { file, out: join(folder, 'keys') })).code).toBe(EXIT.usage);
    expect(read().keys.map(({ state }) => state)).toEqual(['revoked']);
  });

  it('writes nowhere else, whatever SIMs are called, and asks about at most eight at once', async () => {
    const names = ['../evil', 'a/b', '.', '..', '.hidden', 'x y', 'n'.repeat(90), '-rf', 'é', ...'klmnopqrstu'];
    let [asked, most] = [0, 0];
    const sims = names.map((unique_name, index) => ({
      sid: `HS${String(index).padStart(32, '0')}`,
      unique_name,
      iccid: `89883070000000000${10 + index}`,
      status: 'active',
    }));
    const answer: Answer = (response, { url = '' }) => {
      most = Math.max(most, ++asked);
      setTimeout(() => {
        asked--;
        const name = decodeURIComponent(new URL(url, 'http://127.0.0.1').pathname.replace('/v1/Sims/', ''));
        const found = sims.find(({ unique_name }) => unique_name === name);
        if (found === undefined) json(response, 200, { sims, meta: {} });
        else json(response, 200, found);
      }, 20);
    };
    const api = await startApi(answer);
    const { run, folder } = setUpKeys({ url: api.url, accountSid: ACCOUNT, authToken: 'secret' });
    await run(makeFleetKey);
    const file = writeFile(folder, 'sims.csv', `sim\n${names.join('\n')}\n`);
    const out = join(folder, 'keys');
    const { code, stderr } = await run(makeDeviceKeys, { file, out });
    expect(code, stderr).toBe(EXIT.ok);
    expect(most).toBe(8);
    expect(readdirSync(out)).toHaveLength(names.length);
    expect(readdirSync(out).every((name) => /^\w[\w-]*\.json$/.test(name))).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['keys', 'sims.csv', 'test.keys', 'test.keys-journal']);
  });
});
