import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DATABASE_NAME } from '../../../agent/storage/folder.js';
import { lookingHandler, settled, startWired } from '../../agent/command/wired-support.js';
import { changeInPlace } from '../../agent/storage/support.js';
import { requestBytes, withoutId } from '../../support/coap.js';
import { deferred } from '../../support/deferred.js';

const BURST = 1000;
/** The commands with the lower half of the numbers have no replies any more. */
const LIMITS = { keepMs: 3_600_000, entries: BURST, bytes: 16_777_216, identities: 100_000 };

const from = (first: number) => Array.from({ length: BURST }, (_, at) => first + at);

/** An agent that has done these commands, and what it answers to many of them that come in one turn. */
async function start(request: (id: number) => Uint8Array | string, done: readonly number[]) {
  const { handler, seen } = lookingHandler('look', () => 1);
  let wanted = 0;
  let all = deferred();
  const sendError = () => {
    if (--wanted === 0) all.resolve();
    return undefined;
  };
  const started = await startWired({ handlers: [handler], limits: LIMITS, sendError });
  const { receive, sent } = started;

  async function answers(requests: readonly (Uint8Array | string)[]): Promise<Buffer[]> {
    sent.length = 0;
    wanted = requests.length;
    all = deferred();
    for (const one of requests) receive(one);
    await all.promise;
    return sent.map(({ bytes }) => bytes);
  }

  for (let at = 0; at < done.length; at += 100) await answers(done.slice(at, at + 100).map(request));
  await settled();
  return { ...started, answers, seen };
}

describe('a thousand repeats and more at once', () => {
  it('of commands that are done are answered as repeats, in their order, also where the replies are forgotten', async () => {
    const request = (id: number) => `#${id} look`;
    const ids = [...from(BURST), ...from(0)];
    const { answers, seen } = await start(request, from(0).concat(from(BURST)));
    expect((await answers(ids.map(request))).map(String)).toEqual(
      ids.map((id) => `#${id} repeat ${id < BURST ? 'forgotten' : 'ok'} ok`),
    );
    expect(seen).toHaveLength(2 * BURST);
  });

  it('by CoAP are answered as well', async () => {
    const request = (id: number) => requestBytes({ path: 'look', token: 'a', messageId: id });
    const ids = [...from(BURST), ...from(0)];
    const { answers, seen } = await start(request, from(0).concat(from(BURST)));
    const given = await answers(ids.map(request));
    expect(given.map((bytes) => bytes.readUInt16BE(2))).toEqual(ids);
    expect(given.map(withoutId)).toEqual(ids.map((id) => `ACK 2.04 "a"${id < BURST ? '' : ' ok'}`));
    expect(seen).toHaveLength(2 * BURST);
  });

  it('among which new commands come, twice each, run these once', async () => {
    const request = (id: number) => `#${id} look`;
    const { answers, seen } = await start(request, from(0));
    const ids = from(0).flatMap((id) => (id % 10 === 0 ? [id, id + 5000, id, id + 5000] : [id]));
    const given = (await answers(ids.map(request))).map(String);
    for (const id of from(0)) {
      const ofId = given.filter((answer) => answer.startsWith(`#${id} `));
      expect(ofId).toEqual(ofId.map(() => `#${id} repeat ok ok`));
      expect(ofId).toHaveLength(id % 10 === 0 ? 2 : 1);
      if (id % 10 === 0) expect(given).toContain(`#${id + 5000} ok ok`);
    }
    expect(seen).toHaveLength(BURST + BURST / 10);
  });

  it('that find damage in the journal set it aside once, and are answered', async () => {
    const request = (id: number) => `#${id} look`;
    const { answers, seen, database, folder } = await start(request, from(0));
    await database.read('PRAGMA wal_checkpoint(TRUNCATE)');
    // All that begin with a 7.
    changeInPlace(join(folder, DATABASE_NAME), '#7', '#8');
    // Cached pages are not affected.
    await database.read('PRAGMA shrink_memory');
    const given = (await answers(from(0).map(request))).map(String);
    for (const [id, answer] of given.entries()) {
      expect([`#${id} repeat ok ok`, `#${id} repeat forgotten ok`]).toContain(answer);
    }
    expect(database.status).toMatchObject({ writable: true, damaged: 1, lost: 1, rewritten: 0 });
    expect(seen).toHaveLength(BURST);
  });
});
