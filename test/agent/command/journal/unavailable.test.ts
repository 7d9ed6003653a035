import { describe, expect, it } from 'vitest';
import { unavailableJournal } from '../../../../agent/command/journal/unavailable.js';
import { requestBytes, withoutId } from '../../../support/coap.js';
import { startPipeline } from '../../../support/pipeline.js';
import { lookingHandler } from '../wired-support.js';
import { accept, command, findIn, finish, keyOf, start, tellNothing, told } from './support.js';

const BUSY = { code: 'busy', message: expect.stringContaining('no library') };

describe('a journal that cannot be opened at all', () => {
  it('refuses everything', async () => {
    const journal = unavailableJournal('no library');
    expect(await findIn(journal, keyOf(1))).toMatchObject({ kind: 'unknown', error: BUSY });
    expect(await accept(journal, 1)).toMatchObject(BUSY);
    expect(await told((done) => journal.begin(command(1), done))).toMatchObject(BUSY);
    expect(await start(journal, 1)).toMatchObject(BUSY);
    expect(await finish(journal, 1)).toMatchObject(BUSY);
    expect(await told((done) => journal.refuse(command(1), { outcome: 'refused' }, done))).toMatchObject(BUSY);
    for (const asked of [journal.list({ limit: 1 }), journal.get(1), journal.purge(), journal.recover(tellNothing)]) {
      await expect(asked).rejects.toMatchObject(BUSY);
    }
    expect(journal.cancel(1, {})).toBe(false);
    journal.maintain();
    expect(journal.size).toEqual({ entries: 0, bytes: 0, live: 0, remembered: 0 });
  });

  it('makes what must not run twice busy, which is not recorded, and lets the rest run', () => {
    const { handler, seen } = lookingHandler('look', () => 1);
    const { answers } = startPipeline({ handlers: [handler], journal: unavailableJournal('no library') });
    for (let time = 0; time < 2; time++) {
      expect(answers('#1 look').map(String)).toEqual([expect.stringMatching(/^#1 unrecorded error busy .*no library/)]);
    }
    expect(answers(requestBytes({ path: 'look', token: 'a' })).map(withoutId)).toEqual([
      expect.stringMatching(/^ACK 5\.03 "a" busy: .*no library/),
    ]);
    expect(answers('#2 ping').map(String)).toEqual(['#2 ok pong']);
    expect(seen).toEqual([]);
  });
});
