import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  configuration,
  judgeConfiguration,
  type Seen,
} from '../../../../../agent/doctor/checks/files/configuration.js';
import { createContext } from '../../../../../agent/doctor/context.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { asNobody } from '../../../../support/nobody.js';
import { contextOf, NOBODY, ROOT, run } from '../../support.js';

describe('configuration', () => {
  it('is good when it is valid, and nobody else may change it', async () => {
    const found = await run(configuration, { allow: ['10.0.0.0/8'] }, { agent: async () => ROOT });
    expect(found).toMatchObject([{ severity: 'good', looked: expect.stringContaining('mode 600') }]);
  });

  it('names what is wrong in it, and where', async () => {
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

  it('is not there: a file that was named has to be, the usual one not', async () => {
    const context = await createContext({ config: join(temporaryFolder(), 'absent.yaml') });
    expect(await configuration.run(context)).toMatchObject([{ severity: 'error', code: 'config-unreadable' }]);
    const usual = { ...context, configError: undefined };
    expect(await configuration.run(usual)).toMatchObject([{ severity: 'good' }]);
  });

  it.skipIf(needs('root'))('has to be the agent’s to read, and nobody else’s to read or change', async () => {
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
  });

  it('has no copies beside it that everybody can read, whoever made them', async () => {
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

  it.skipIf(needs('root'))('says to a user who may not read it that sudo may', async () => {
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

describe('what is seen of a configuration', () => {
  const FILE = '/etc/supersim-agent/config.yaml';
  const HAND_OVER = `Run \`sudo chown root:supersim-agent ${FILE} && sudo chmod 640 ${FILE}\`.`;
  const OWNER = { uid: 0, gid: 990, mtimeMs: 0 };
  const seen: Seen = {
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
  const hidden = new SupersimError('config-unreadable', `cannot read ${FILE}`, { cause: eacces });

  it.each<[string, Partial<Seen>, string[]]>([
    ['as the package installs it', {}, []],
    ['not there', { status: 'ENOENT', isReadable: undefined }, []],
    [
      'for everybody to read',
      open,
      [`warning every user can read it, and so any secret that it will hold ${HAND_OVER}`],
    ],
    [
      'for everybody to read, with a PIN and more',
      { ...open, secrets: ['the SIM’s PIN', 'the environment of handlers'] },
      [`warning every user can read it, and so the SIM’s PIN and the environment of handlers ${HAND_OVER}`],
    ],
    [
      'closed to the agent',
      { status: { ...OWNER, gid: 0, mode: 0o100640 }, isReadable: false },
      [`error the agent’s user supersim-agent may not read it ${HAND_OVER} Its folder must let supersim-agent in too.`],
    ],
    [
      'for everybody to change',
      { status: { ...OWNER, mode: 0o100666 } },
      [`error every user can change it, and so have the agent run what they like ${HAND_OVER}`],
    ],
    [
      'somebody’s',
      { status: { ...OWNER, uid: 1234, mode: 0o100640 } },
      [`warning its owner, who is neither root nor the agent, can have the agent run things ${HAND_OVER}`],
    ],
    [
      'for its group to change',
      { status: { ...OWNER, mode: 0o100660 } },
      [`warning its whole group can change it, and so have the agent run things ${HAND_OVER}`],
    ],
    ['the agent’s own', { status: { ...OWNER, uid: 990, mode: 0o100600 } }, []],
    [
      'beside copies',
      { openCopies: [`${FILE}.dpkg-old`, `${FILE}~`] },
      [
        `warning every user can read ${FILE}.dpkg-old, ${FILE}~, and what secrets there were in ${FILE} ` +
          `Delete what nobody needs, or run \`sudo chmod o= ${FILE}.dpkg-old ${FILE}~\`.`,
      ],
    ],
    [
      'not for the user who looks',
      { error: hidden, isReadable: undefined },
      [
        'note this user may not read it: the checks below go by the built-in configuration ' +
          'Check the path and its permissions; `sudo supersim-agent config check` shows the line.',
      ],
    ],
  ])('is judged where it is %s', (_what, changed, expected) => {
    const told = judgeConfiguration({ ...seen, ...changed }).filter(({ severity }) => severity !== 'good');
    expect(told.map(({ severity, found, remedy }) => `${severity} ${found} ${remedy}`)).toEqual(expected);
  });
});
