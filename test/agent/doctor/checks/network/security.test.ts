import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { judgeSecurity, security } from '../../../../../agent/doctor/checks/network/security.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder } from '../../../../support/files.js';
import { keyFileText } from '../../../../support/security.js';
import { run } from '../../support.js';

type Observation = Parameters<typeof judgeSecurity>[0];

const NOTHING: Observation = {
  unprotected: 'refuse',
  required: undefined,
  folder: '/keys',
  keys: [],
  problems: [],
  socketHandlers: [],
  closedPorts: [],
  running: undefined,
};
const RUNNING: NonNullable<Observation['running']> = {
  required: true,
  unprotected: 'refuse',
  except: [],
  keys: [{ name: 'ops', kid: 1, device: '89', windowKnown: true }],
  problems: [],
  numbers: 'ready',
};
const BROKEN = new SupersimError('key-invalid', '/keys/a.json: it is not JSON');

describe('the check of who may command the device', () => {
  it.each<[string, Partial<Observation>, [severity: string, found: string][]]>([
    ['by default says that commands are not authenticated', {}, [['note', 'commands are not authenticated']]],
    ['warns where everybody may reboot the device', { unprotected: 'allow' }, [['warning', 'commands are not']]],
    [
      'warns of that also where sockets are configured',
      { unprotected: 'allow', socketHandlers: ['update'] },
      [['warning', 'are on']],
    ],
    [
      'warns of handlers that are configured and off',
      { socketHandlers: ['update', 'mount'] },
      [
        ['note', 'commands are not authenticated'],
        ['warning', 'update, mount'],
      ],
    ],
    ['is content with a key', { keys: ['ops'], running: RUNNING }, [['good', 'protected with the key']]],
    [
      'fails for a key file that cannot be used, and then says that only protected requests run',
      { keys: ['ops'], problems: [BROKEN] },
      [
        ['error', 'it is not JSON'],
        ['good', 'protected with the key'],
      ],
    ],
    ['warns where protection is required without a key', { required: true }, [['warning', 'there is no key']]],
    [
      'warns of ports on which nothing can be protected',
      { keys: ['ops'], closedPorts: [7001] },
      [
        ['good', 'protected'],
        ['warning', '7001'],
      ],
    ],
    [
      'warns of a key that the running agent does not use',
      { keys: ['ops', 'new'], running: RUNNING },
      [
        ['warning', 'does not use new'],
        ['good', 'one of 2 keys'],
      ],
    ],
    [
      'warns of a key that only the agent cannot read',
      { keys: ['ops'], running: { ...RUNNING, problems: ['/keys/a.json: EACCES'] } },
      [
        ['warning', 'EACCES'],
        ['good', 'protected'],
      ],
    ],
    ...(['unknown', 'unwritable', 'exhausted'] as const).map(
      (numbers): [string, Partial<Observation>, [string, string][]] => [
        `warns of sequence numbers that are ${numbers}`,
        { keys: ['ops'], running: { ...RUNNING, numbers } },
        [
          ['warning', numbers],
          ['good', 'protected'],
        ],
      ],
    ),
  ])('%s', (_name, seen, expected) => {
    const judged = judgeSecurity({ ...NOTHING, ...seen });
    expect(judged.map(({ severity, found }) => [severity, found])).toEqual(
      expected.map(([severity, found]) => [severity, expect.stringContaining(found)]),
    );
  });

  it('reads the configuration', async () => {
    const handlers = { update: { socket: '/run/a.sock' }, read: { program: ['/bin/true'] } };
    expect(await run(security, { handlers })).toMatchObject([
      { check: 'security', severity: 'note' },
      { severity: 'warning', code: 'authentication-required', found: expect.stringMatching(/: update$/) },
    ]);
    expect(await run(security, { security: { unprotected: 'allow' } })).toMatchObject([{ severity: 'warning' }]);
  });

  it('reads the key files', async () => {
    const keys = join(temporaryFolder(), 'keys');
    mkdirSync(keys, { mode: 0o750 });
    writeFileSync(join(keys, 'ops.json'), keyFileText(), { mode: 0o640 });
    writeFileSync(join(keys, 'open.json'), keyFileText({ kid: 2 }));
    chmodSync(join(keys, 'open.json'), 0o644);
    expect(await run(security, { security: { keys } })).toMatchObject([
      { severity: 'error', code: 'key-unsafe', found: expect.stringContaining('open.json') },
      { severity: 'good', found: expect.stringContaining('the key') },
    ]);
  });
});
