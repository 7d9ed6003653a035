import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeDeviceKeys } from '../../../../sender/cli/keys/device.js';
import { importKeys } from '../../../../sender/cli/keys/import.js';
import { fleetKeyIdOf } from '../../../../sender/security/keys/fleet-keys.js';
import { formatKeyFile } from '../../../../shared/oscore/key-file.js';
import { writeFile } from '../../../support/files.js';
import { expectHidden, setUpKeys, startSims } from './support.js';

const DEVICE = { deviceId: 'pump 7', kid: 9, masterSecret: randomBytes(16), allow: ['ping'] };

describe('supersim keys import', () => {
  it.each(['file', 'pipe', 'dash', 'variable'] as const)('takes a fleet key from a %s', async (from) => {
    const { run, read, folder } = setUpKeys();
    const secret = randomBytes(32);
    const text = `${secret.toString('hex').toUpperCase()}\n`;
    const argv = {
      file: { path: writeFile(folder, 'fleet', text) },
      pipe: {},
      dash: { path: '-' },
      variable: {},
    }[from];
    const settings = {
      file: { stdin: 'not this' },
      pipe: { stdin: text },
      dash: { stdin: text, env: { SUPERSIM_IMPORT_KEY: 'not this' } },
      variable: { stdin: 'not this', env: { SUPERSIM_IMPORT_KEY: text } },
    }[from];
    const { code, stdout } = await run(importKeys, { ...argv, kid: 5 }, settings);
    expect(code).toBe(EXIT.ok);
    expect(read().fleet).toMatchObject([{ id: fleetKeyIdOf(secret), secret, kid: 5, isCurrent: true }]);
    expect(stdout).toBe(`fleet key ${fleetKeyIdOf(secret)}, kid 5\n`);
  });

  it('takes the key file of a device, for a SIM', async () => {
    const loopback = await startSims(1);
    const { run, read } = setUpKeys(loopback);
    const { code } = await run(
      importKeys,
      { sim: 'gateway-1', kidContext: true },
      {
        stdin: JSON.stringify({
          device: 'pump 7',
          kid: 9,
          secret: DEVICE.masterSecret.toString('hex'),
          allow: ['ping'],
        }),
      },
    );
    expect(code).toBe(EXIT.ok);
    expect(read().keys).toMatchObject([
      { ...DEVICE, sid: loopback.sims[0]?.sid, state: 'used', sendsKidContext: true, fleetKey: undefined },
    ]);
  });

  it('takes the key file that another installation has made, and has it wait where there is a key', async () => {
    const loopback = await startSims(1);
    const [one, other] = [setUpKeys(loopback), setUpKeys(loopback)];
    await one.run(importKeys, { kid: 1 }, { stdin: 'ab'.repeat(32) });
    const { stdout } = await one.run(makeDeviceKeys, { sim: 'gateway-1' });
    await other.run(importKeys, { sim: 'gateway-1' }, { stdin: formatKeyFile(DEVICE) });
    const { stderr } = await other.run(importKeys, { sim: 'gateway-1' }, { stdin: stdout });
    expect(other.read().keys).toMatchObject([
      { kid: 9, state: 'used' },
      { kid: 1, state: 'issued' },
    ]);
    expect(stderr).toContain(`supersim keys rotate --sim ${loopback.sims[0]?.sid}`);
  });

  const secret = randomBytes(32);
  const hex = secret.toString('hex');
  it.each<[string, object, { stdin?: string; env?: NodeJS.ProcessEnv }]>([
    ['nothing at a terminal', {}, {}],
    ['an empty pipe', {}, { stdin: '' }],
    ['a key too short', {}, { stdin: hex.slice(2) }],
    ['a key too long', {}, { stdin: `${hex}00` }],
    ['a key with other letters', {}, { stdin: `${hex.slice(1)}g` }],
    ['two keys', {}, { stdin: `${hex}\n${hex}` }],
    ['a key in quotes', {}, { stdin: JSON.stringify(hex) }],
    ['a damaged key in a variable', {}, { env: { SUPERSIM_IMPORT_KEY: `x${hex}` } }],
    ['a key file that is cut', { sim: 'gateway-1' }, { stdin: `{"secret":"${hex}` }],
    [
      'a key file with members in the wrong place',
      { sim: 'a' },
      { stdin: JSON.stringify({ device: hex, kid: hex, [hex]: 1 }) },
    ],
    ['a key file without a SIM', {}, { stdin: formatKeyFile(DEVICE) }],
    ['a key file with a kid besides', { sim: 'a', kid: 3 }, { stdin: formatKeyFile(DEVICE) }],
    ['a fleet key for a SIM', { sim: 'a' }, { stdin: hex }],
    ['a fleet key with the kid context', { kidContext: true }, { stdin: hex }],
    ['a file that there is not', { path: '/nonexistent/key' }, {}],
    ['the secret itself as an argument', { path: hex }, {}],
    ['more than there can be', {}, { stdin: hex.repeat(500) }],
    ['a file that never ends', { path: '/dev/zero' }, {}],
  ])('refuses %s, and shows nothing of it', async (_, argv, settings) => {
    const { run, read, printed } = setUpKeys();
    expect((await run(importKeys, argv, settings)).code).toBe(EXIT.usage);
    expect(read()).toEqual({ fleet: [], keys: [] });
    expectHidden(secret, printed.join('\n'));
    expectHidden(secret.subarray(2, 20), printed.join('\n'));
    expectHidden(DEVICE.masterSecret, printed.join('\n'));
  });
});
