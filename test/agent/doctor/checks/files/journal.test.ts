import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../../../agent/base/log.js';
import { systemClock } from '../../../../../agent/base/moment.js';
import { journal, judgeJournal } from '../../../../../agent/doctor/checks/files/journal.js';
import { openDatabase } from '../../../../../agent/storage/database.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { filledFolder } from '../../../storage/support.js';
import { expectJudgements, run } from '../../support.js';

describe('the doctor’s journal check', () => {
  it('finds a sound database and leaves its folder unchanged', async () => {
    const folder = await filledFolder();
    const before = readdirSync(folder);
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining('quick_check') },
    ]);
    expect(readdirSync(folder)).toEqual(before);
  });

  it('reports a damaged database without setting it aside', async () => {
    const folder = await filledFolder();
    const path = join(folder, 'journal.db');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.fill(0x55, 4096, 8192));
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'error', remedy: expect.stringContaining('dmesg') },
    ]);
    // It is the agent's to set aside.
    expect(readdirSync(folder).some((name) => name.includes('damaged'))).toBe(false);
  });

  it('warns of databases that were set aside as damaged', async () => {
    const folder = await filledFolder();
    writeFile(folder, 'journal.db.damaged-2026-01-01T00:00:00.000Z', 'x');
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good' },
      { severity: 'warning', found: expect.stringContaining('damaged-2026') },
    ]);
  });

  it('leaves a database alone that an agent has open, and accepts a missing one', async () => {
    const folder = temporaryFolder();
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining('does not exist yet') },
    ]);
    const database = await openDatabase({ folder, clock: systemClock(), log: silentLog });
    const found = await run(journal, { state: { folder } });
    await database.close();
    expect(found).toMatchObject([{ severity: 'good', found: expect.stringContaining('in use') }]);
  });

  it('says that the journal is in memory only where that is configured', async () => {
    expect(await run(journal, { state: { folder: 'none' } })).toMatchObject([
      { severity: 'note', found: expect.stringContaining('in memory only') },
    ]);
  });

  it('warns that a journal was lost which its marker tells of', async () => {
    const folder = temporaryFolder();
    writeFile(folder, 'journal.id', '0123456789ab\n');
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'warning', found: expect.stringContaining('the journal was lost') },
    ]);
    // So the agent leaves a folder when the power goes while it creates the first one.
    writeFile(folder, 'journal.id', 'new\n');
    writeFile(folder, 'journal.db', '');
    expect(await run(journal, { state: { folder } })).toMatchObject([{ severity: 'good' }]);
  });

  it('reports an empty database', async () => {
    const folder = temporaryFolder();
    writeFile(folder, 'journal.db', '');
    expect(await run(journal, { state: { folder } })).toMatchObject([
      { severity: 'error', found: expect.stringContaining('the file is empty') },
    ]);
  });

  it('names another process that has the database open', async () => {
    const folder = await filledFolder();
    const child = spawn('tail', ['-f', join(folder, 'journal.db')], { stdio: 'ignore' });
    onTestFinished(() => void child.kill());
    await vi.waitFor(async () =>
      expect(await run(journal, { state: { folder } })).toMatchObject([
        { severity: 'good' },
        { severity: 'note', code: 'state-in-use', found: expect.stringContaining(`tail (pid ${child.pid})`) },
      ]),
    );
  });
});

type Observation = NonNullable<Parameters<typeof judgeJournal>[0]>;
type Running = NonNullable<Observation['running']>;

const RUNNING: Running = {
  ...{ persistent: true, writable: true, entries: 1, bytes: 100, live: 0, remembered: 1 },
  ...{ damaged: 0, lost: 0, rewritten: 0, restarted: 0 },
};
const SOUND: Observation = { path: '/a/journal.db', database: 'sound', running: undefined, holders: [], setAside: [] };
const SQLITE = { pid: 812, command: 'sqlite3', certain: true };

describe('judgeJournal', () => {
  it.each<[string, Observation['database'], RegExp]>([
    ['a sound database', 'sound', /^good: PRAGMA quick_check of a copy: ok$/],
    ['a damaged database', 'damaged', /^error: PRAGMA quick_check found damage; .*`interrupted`.* → .*dmesg/],
    ['a database that never was', 'absent', /^good: does not exist yet/],
    [
      'a lost database',
      'missing',
      /^warning: the journal was lost: \/a\/journal\.id .* up to 6 min .* → .*delete \/a\/journal\.id too/,
    ],
    ['an empty database', 'empty', /^error: the file is empty, .* up to 6 min .* → .*dmesg/],
    ['a database that a process has open', 'in-use', /^good: in use by the agent or another process: not checked$/],
    ['a database that this user may not read', 'forbidden', /^note: .*→ Run it with sudo/],
    ['a database that could not be checked', { unknown: 'too large' }, /^note: not checked: too large$/],
  ])('judges %s', (_what, database, expected) => {
    expectJudgements(judgeJournal({ ...SOUND, database }), [expected]);
    const more = judgeJournal({ ...SOUND, database, setAside: ['a.damaged-1', 'a.damaged-2'] });
    expectJudgements(more, [expected, /^warning: found damaged before and set aside: a\.damaged-1, a\.damaged-2 → /]);
  });

  it.each<[string, Partial<Running>, RegExp[]]>([
    ['can be written', {}, [/^good: in use by the running agent, which checked it/]],
    [
      'cannot be written',
      { writable: false, reason: 'EROFS' },
      [/^error busy: the running agent cannot write it: EROFS; commands that need it are refused as busy, .*dmesg/],
    ],
    [
      'was lost once',
      { lost: 1 },
      [/^good/, /^warning: found lost once since .*`interrupted` → .*`journal: lost`.*dmesg/],
    ],
    ['was lost twice', { lost: 2 }, [/^good/, /^warning: found lost 2 times since/]],
    [
      'was deleted',
      { rewritten: 1 },
      [/^good/, /^warning: its files were deleted .*nothing was lost → .*what deletes/],
    ],
    ['hung', { restarted: 3 }, [/^good/, /^warning: .*storage worker .* replaced 3 times → .*dmesg/]],
  ])('judges the running agent’s journal that %s', (_what, change, expected) => {
    expectJudgements(judgeJournal({ ...SOUND, database: 'in-use', running: { ...RUNNING, ...change } }), expected);
  });

  it('says that a running agent writes a deleted database again', () => {
    const judgements = judgeJournal({ ...SOUND, database: 'missing', running: RUNNING });
    expectJudgements(judgements, [/^note: deleted, while the agent has it open: it writes it again$/]);
  });

  it('names who else has the database open', () => {
    const held = { ...SOUND, database: 'in-use', holders: [SQLITE] } as const;
    const sqlite = /^note state-in-use: open in sqlite3 \(pid 812\), which keeps the agent from starting → Stop/;
    expectJudgements(judgeJournal(held), [sqlite]);
    expectJudgements(judgeJournal({ ...held, running: RUNNING }), [/^good/, sqlite]);
  });
});
