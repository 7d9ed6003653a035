import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  configuration,
  judgeConfiguration,
  type Observation,
} from '../../../../../agent/doctor/checks/files/configuration.js';
import { createContext } from '../../../../../agent/doctor/context.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { asNobody } from '../../../../support/nobody.js';
import { contextOf, NOBODY, ROOT, run } from '../../support.js';

describe('the doctor’s configuration check', () => {
  it('finds a valid configuration that nobody else may change', async () => {
    const found = await run(configuration, { allow: ['10.0.0.0/8'] }, { agent: async () => ROOT });
    expect(found).toMatchObject([{ severity: 'good', looked: expect.stringContaining('mode 600') }]);
  });

  it('names a mistake and its place', async () => {
    const context = await contextOf({});
    writeFileSync(context.file, 'listen:\n  prots: [1]\n');
    const found = await configuration.run(await createContext({ config: context.file }));
    expect(found[0]).toMatchObject({
      severity: 'error',
      code: 'config-invalid',
      found: expect.stringContaining(`${context.file}:2:3`),
      remedy: expect.stringContaining('config schema'),
    });
  });

  it('reports a missing file that was named, but not a missing default one', async () => {
    const context = await createContext({ config: join(temporaryFolder(), 'absent.yaml') });
    expect(await configuration.run(context)).toMatchObject([{ severity: 'error', code: 'config-unreadable' }]);
    const usual = { ...context, configError: undefined };
    expect(await configuration.run(usual)).toMatchObject([{ severity: 'good' }]);
  });

  it.skipIf(needs('root'))(
    'requires that the agent can read it, and others can neither read nor change it',
    async () => {
      const context = await contextOf({ modem: { pin: '4711' } }, { agent: async () => NOBODY });
      const { file } = context;
      chmodSync(dirname(file), 0o755);
      expect(await configuration.run(context)).toMatchObject([
        { severity: 'good' },
        { severity: 'error', code: 'config-unreadable', remedy: expect.stringContaining(`chmod 640 ${file}`) },
      ]);
      chmodSync(file, 0o666);
      expect(await configuration.run(context)).toMatchObject([
        { severity: 'good' },
        { severity: 'warning', found: expect.stringContaining('PIN') },
        { severity: 'error', found: expect.stringContaining('every user can change it') },
      ]);
      // Nobody gets to it.
      chmodSync(dirname(file), 0o700);
      const closed = await configuration.run({ ...context, agent: async () => ROOT });
      expect(closed.map(({ found }) => found).join()).not.toContain('read');
      chmodSync(dirname(file), 0o755);
      chmodSync(file, 0o640);
      chownSync(file, 1234, NOBODY.uid);
      expect(await configuration.run(context)).toMatchObject([{ severity: 'good' }, { severity: 'warning' }]);
      chownSync(file, 0, NOBODY.uid);
      expect(await configuration.run(context)).toMatchObject([{ severity: 'good' }]);
    },
  );

  it('warns of readable copies beside it', async () => {
    const context = await contextOf({}, { agent: async () => ROOT });
    const [folder, name] = [dirname(context.file), basename(context.file)];
    chmodSync(folder, 0o755);
    const open = [`#${name}#`, `.${name}.swp`, `${name}.dpkg-old`, `${name}~`];
    for (const each of open) writeFile(folder, each, '', 0o644);
    for (const each of [`${name}.dpkg-dist`, `.${name}.bak`]) writeFile(folder, each, '', 0o640);
    writeFile(folder, 'handlers.mjs', '', 0o644);
    const [own, copies, ...more] = await configuration.run(context);
    expect([own?.severity, copies?.severity, more]).toEqual(['good', 'warning', []]);
    const paths = open.map((each) => join(folder, each)).sort();
    expect(copies?.remedy).toContain(`\`sudo chmod o= ${paths.join(' ')}\``);
  });

  it.skipIf(needs('root'))('tells a user who may not read it to use sudo', async () => {
    const { file } = await contextOf({});
    chmodSync(dirname(file), 0o755);
    const found = await asNobody(async () => configuration.run(await createContext({ config: file })));
    expect(found[0]).toMatchObject({
      severity: 'note',
      code: 'config-unreadable',
      found: expect.stringContaining('built-in'),
      remedy: expect.stringMatching(/^Run it with sudo/),
    });
  });
});

describe('judgeConfiguration', () => {
  const FILE = '/etc/supersim-agent/config.yaml';
  const HAND_OVER = `Run \`sudo chown root:supersim-agent ${FILE} && sudo chmod 640 ${FILE}\`.`;
  const OWNER = { uid: 0, gid: 990, mtimeMs: 0 };
  const PACKAGED: Observation = {
    file: FILE,
    status: { ...OWNER, mode: 0o100640 },
    error: undefined,
    counts: { programs: 0, modules: 0 },
    secrets: [],
    agent: { name: 'supersim-agent', uid: 990, groups: [990] },
    agentGroup: 'supersim-agent',
    isReadable: true,
    isOpen: false,
    openCopies: [],
    startedAt: undefined,
  };
  const open = { status: { ...OWNER, mode: 0o100644 }, isOpen: true };
  const eacces = Object.assign(new Error('EACCES'), { code: 'EACCES' });
  const hidden = new SupersimError('config-unreadable', `cannot read ${FILE}`, { cause: eacces, remedy: 'Use sudo.' });

  it.each<[string, Partial<Observation>, string[]]>([
    ['as the package installs it', {}, []],
    ['missing', { status: 'ENOENT', isReadable: undefined }, []],
    ['readable for every user', open, [`warning every user can read it, and with it any secret in it ${HAND_OVER}`]],
    [
      'readable for every user, with a PIN and more',
      { ...open, secrets: ['the SIM’s PIN', 'the environment of handlers'] },
      [`warning every user can read it, and with it the SIM’s PIN and the environment of handlers ${HAND_OVER}`],
    ],
    [
      'unreadable for the agent',
      { status: { ...OWNER, gid: 0, mode: 0o100640 }, isReadable: false },
      [`error the agent’s user supersim-agent may not read it ${HAND_OVER} Let supersim-agent enter its folder too.`],
    ],
    [
      'writable for every user',
      { status: { ...OWNER, mode: 0o100666 } },
      [`error every user can change it and so make the agent run anything ${HAND_OVER}`],
    ],
    [
      'another user’s',
      { status: { ...OWNER, uid: 1234, mode: 0o100640 } },
      [`warning its owner, neither root nor the agent, can make the agent run anything ${HAND_OVER}`],
    ],
    [
      'writable for its group',
      { status: { ...OWNER, mode: 0o100660 } },
      [`warning its whole group can change it and so make the agent run anything ${HAND_OVER}`],
    ],
    ['invalid', { error: new SupersimError('config-invalid', 'bad', { remedy: 'Fix it.' }) }, ['error bad Fix it.']],
    [
      'missing, though it was named',
      {
        status: 'ENOENT',
        isReadable: undefined,
        error: new SupersimError('config-unreadable', 'gone', { remedy: 'Make it.' }),
      },
      ['error gone Make it.'],
    ],
    ['older than the agent', { startedAt: 1 }, []],
    [
      'newer than the agent',
      { startedAt: -1 },
      [
        'note valid: 0 programs, 0 modules; changed after the agent started, and not in force unless it was reloaded since ' +
          'Run `sudo supersim-agent reload`.',
      ],
    ],
    ['the agent’s own', { status: { ...OWNER, uid: 990, mode: 0o100600 } }, []],
    [
      'accompanied by readable copies',
      { openCopies: [`${FILE}.dpkg-old`, `${FILE}~`] },
      [
        `warning every user can read ${FILE}.dpkg-old, ${FILE}~, and with them secrets of ${FILE} ` +
          `Delete them, or run \`sudo chmod o= ${FILE}.dpkg-old ${FILE}~\`.`,
      ],
    ],
    [
      'hidden from this user',
      { error: hidden, isReadable: undefined },
      ['note this user may not read it: the checks below use the built-in configuration Use sudo.'],
    ],
  ])('judges a file that is %s', (_what, changed, expected) => {
    const told = judgeConfiguration({ ...PACKAGED, ...changed }).filter(({ severity }) => severity !== 'good');
    expect(told.map(({ severity, found, remedy }) => `${severity} ${found} ${remedy}`)).toEqual(expected);
  });
});
