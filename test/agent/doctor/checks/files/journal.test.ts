import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
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
});

type Observation = Parameters<typeof judgeJournal>[0];

describe('judgeJournal', () => {
  it.each<[string, Observation['database'], RegExp]>([
    ['a sound database', 'sound', /^good: PRAGMA quick_check of a copy: ok$/],
    ['a damaged database', 'damaged', /^error: PRAGMA quick_check found damage → .*dmesg/],
    ['a missing database', 'absent', /^good: does not exist yet/],
    ['a database that the agent has open', 'in-use', /^good: in use by the running agent/],
    ['a database that this user may not read', 'forbidden', /^note: .*→ Run it with sudo/],
    ['a database that could not be checked', { unknown: 'too large' }, /^note: not checked: too large$/],
  ])('judges %s', (_what, database, expected) => {
    expectJudgements(judgeJournal({ path: '/a', database, setAside: [] }), [expected]);
    const more = judgeJournal({ path: '/a', database, setAside: ['a.damaged-1', 'a.damaged-2'] });
    expectJudgements(more, [expected, /^warning: found damaged before and set aside: a\.damaged-1, a\.damaged-2 → /]);
  });
});
