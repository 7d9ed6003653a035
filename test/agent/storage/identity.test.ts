import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createIdentity, identify, parseIdentity } from '../../../agent/storage/identity.js';
import { createDatabase, REPLACE_IDENTITY } from '../../../agent/storage/schema.js';
import { DamagedError } from '../../../agent/storage/sqlite.js';
import { temporaryFolder } from '../../support/files.js';
import { openTestDatabase, standingClock } from '../command/journal/support.js';
import { changeInPlace, insert } from './support.js';

const NOW = standingClock().clock();

describe('the identity of a journal', () => {
  it('is random, and says when it was made, and whether that was for a loss', () => {
    const [one, other] = [createIdentity(NOW, false), createIdentity(NOW, true)];
    expect(one).toEqual({ id: expect.stringMatching(/^[0-9a-f]{12}$/), created: NOW, lost: null });
    expect(other).toEqual({ id: expect.any(String), created: NOW, lost: NOW });
    expect(one.id).not.toBe(other.id);
  });

  it('is read as it was written, and replaced as a whole', () => {
    const connection = createDatabase(':memory:');
    const stored = () => parseIdentity(connection.all('SELECT record FROM journal'));
    expect(stored()).toBeUndefined();
    for (const isLost of [false, true]) {
      const identity = createIdentity(NOW, isLost);
      const request = identify(identity);
      if (request.kind === 'identify') connection.run(REPLACE_IDENTITY, [request.record]);
      expect(stored()).toEqual(identity);
    }
    connection.close();
  });

  it.each([
    ['of another form', { record: Buffer.from('x') }],
    ['that is no record', { record: 'text' }],
  ])('%s is damage', (_, row) => {
    expect(() => parseIdentity([row])).toThrow(DamagedError);
  });

  it('tells of a loss also after it was renewed', async () => {
    const folder = temporaryFolder();
    await (await openTestDatabase(folder)).close();
    rmSync(join(folder, 'journal.db'));
    const lost = await openTestDatabase(folder);
    const { id } = lost.identity ?? {};
    await lost.renew();
    expect(lost.identity).toMatchObject({ lost: NOW });
    expect(lost.identity?.id).not.toBe(id);
    const { identity } = lost;
    await lost.close();
    const after = await openTestDatabase(folder);
    expect(after.identity).toEqual(identity);
    expect(after.status.lost).toBe(0);
  });

  it('that was damaged makes the journal a lost one, and no end to it', async () => {
    const folder = temporaryFolder();
    const first = await openTestDatabase(folder);
    const id = first.identity?.id ?? '';
    await first.close();
    changeInPlace(join(folder, 'journal.db'), `"id":"${id}"`, `"ID":"${id}"`);
    const second = await openTestDatabase(folder);
    expect(second.status).toMatchObject({ writable: true, damaged: 1, lost: 1 });
    expect(second.identity).toMatchObject({ lost: NOW });
    expect(readdirSync(folder).filter((name) => /damaged-.*Z$/.test(name))).toHaveLength(1);
    expect(await insert(second, 1)).toBeUndefined();
  });
});
