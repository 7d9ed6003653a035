import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { handlers, judgeHandlers } from '../../../../../agent/doctor/checks/files/handlers.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder, writeFile, writeScript } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { expectJudgements, NOBODY, ROOT, run } from '../../support.js';

describe('the doctor’s handlers check', () => {
  const program = (file: string) => ({ handlers: { 'relay.set': { program: [file] } } });

  it('finds handlers that exist and are safe, without loading them', async () => {
    const file = writeScript('true');
    const module = writeFile(temporaryFolder(), 'relay.mjs', 'throw new Error("it must not be loaded")');
    const config = { ...program(file), modules: [module], device: { reboot: ['/bin/true'] } };
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
  });

  it('reports handlers that are missing, that others can change, and that the agent may not run', async () => {
    const safe = { device: { reboot: ['/bin/true'] } };
    const as = (agent = ROOT) => ({ agent: async () => agent });
    const absent = join(temporaryFolder(), 'absent');
    expect(await run(handlers, { ...program(absent), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'handler-invalid', found: expect.stringContaining('relay.set') },
    ]);
    const loose = writeScript('true');
    chmodSync(loose, 0o777);
    expect(await run(handlers, { ...program(loose), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'program-unsafe', remedy: expect.stringContaining('chmod go-w') },
    ]);
    const plain = writeScript('true');
    chmodSync(plain, 0o644);
    expect(await run(handlers, { ...program(plain), ...safe }, as())).toMatchObject([
      { severity: 'error', code: 'handler-invalid', remedy: expect.stringContaining('chmod a+rx') },
    ]);
    const folder = { handlers: { 'relay.set': { program: ['/bin/true'], directory: absent } } };
    expect(await run(handlers, { ...folder, ...safe }, as())).toMatchObject([{ severity: 'error' }]);
  });

  it.skipIf(needs('root'))('reports a handler with another user, unless the agent runs as root', async () => {
    const config = { handlers: { 'relay.set': { program: ['/bin/true'], user: 'nobody' } } };
    const safe = { ...config, device: { reboot: ['/bin/true'] } };
    expect(await run(handlers, safe, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
    expect(await run(handlers, safe, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', code: 'handler-invalid', remedy: expect.stringContaining('user') },
    ]);
  });

  it('checks that the agent may connect to sockets, and that others may not', async () => {
    const path = join(temporaryFolder(), 'reboot.sock');
    const config = { handlers: { 'packages.update': { socket: path } }, device: { reboot: { socket: path } } };
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([
      { severity: 'error', code: 'handler-invalid', found: expect.stringContaining('packages.update') },
      { severity: 'warning', found: expect.stringContaining('device.reboot') },
    ]);
    const server = createServer().listen(path);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    chmodSync(path, 0o666);
    const loose = await run(handlers, config, { agent: async () => ROOT });
    expect(loose[0]).toMatchObject({ code: 'program-unsafe', remedy: expect.stringContaining('SocketMode=0660') });
    chmodSync(path, 0o660);
    expect(await run(handlers, config, { agent: async () => ROOT })).toMatchObject([{ severity: 'good' }]);
    const others = await run(handlers, config, { agent: async () => NOBODY });
    expect(others[0]).toMatchObject({ found: expect.stringContaining('nobody may not connect to') });
  });

  it('checks permissions for the agent’s user, and only warns of device.reboot', async () => {
    const file = writeScript('true');
    // Its folder is closed to everybody else.
    const config = { ...program(file), device: { reboot: ['/bin/no-such-program'] } };
    expect(await run(handlers, config, { agent: async () => NOBODY })).toMatchObject([
      { severity: 'error', found: expect.stringContaining('nobody may not run') },
      { severity: 'warning', found: expect.stringContaining('device.reboot') },
    ]);
  });
});

type File = Parameters<typeof judgeHandlers>[0]['files'][number];

const FILE: File = { name: 'relay.set', path: '/opt/relay', use: 'run' };
const problem = new SupersimError('program-unsafe', 'others can change it', { remedy: 'Run chmod.' });

describe('judgeHandlers', () => {
  it.each<[string, File[], RegExp[]]>([
    ['no files', [], [/^good: 0 files exist/]],
    ['safe files', [FILE, { ...FILE, use: 'read' }, { ...FILE, use: 'connect' }], [/^good: 3 files exist/]],
    [
      'a file that this user may not inspect',
      [{ ...FILE, isHidden: true }],
      [/^note: relay\.set \(\/opt\/relay\): .*→ Run it with sudo/],
    ],
    [
      'an unsafe file',
      [{ ...FILE, problem }],
      [/^error program-unsafe: relay\.set \(\/opt\/relay\): others can change it → Run chmod\.$/],
    ],
    [
      'an unsafe file that the agent can do without',
      [{ ...FILE, problem, isOptional: true }],
      [/^warning program-unsafe: .*→ Run chmod\.$/],
    ],
    ['several files', [{ ...FILE, problem }, FILE, { ...FILE, isHidden: true }], [/^error/, /^note/]],
  ])('judges %s', (_what, files, expected) => {
    expectJudgements(judgeHandlers({ agent: NOBODY, files }), expected);
  });
});
