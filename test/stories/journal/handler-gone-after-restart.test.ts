import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { asAfterKill, heldHandler, lookingHandler, onDisk, startWired } from '../../agent/command/wired-support.js';
import { requestBytes, summary } from '../../support/coap.js';

const FORMATS: [format: string, request: Uint8Array | string, read: (reply: Buffer) => string][] = [
  ['text', '#1 hold', String],
  ['json', '{"id":1,"method":"hold"}', String],
  ['cbor', encode({ id: 1, method: 'hold' }), (reply) => JSON.stringify(decode(reply))],
  ['coap', requestBytes({ path: 'hold', token: 'a', messageId: 9 }), summary],
];

describe('a command whose handler is gone after a start', () => {
  it.each(FORMATS)('has what it was answered before for a repeat: %s', async (_, request, read) => {
    const before = await startWired({ handlers: [lookingHandler('hold', () => 1, 'as before').handler] });
    await before.reply(request);
    before.database.close();
    const { reply, counters } = await startWired({ folder: before.folder });
    expect(read(await reply(request))).toContain('as before');
    expect(counters).toMatchObject({ repeats: 1, outcomes: { refused: 0 } });
  });

  it.each(FORMATS)('and that was interrupted is never told that it did not run: %s', async (_, request, read) => {
    const { handler, running } = heldHandler();
    const before = await startWired({ handlers: [handler] });
    before.receive(request);
    await running;
    const { reply } = await startWired({ folder: asAfterKill(before.folder) });
    expect(read(await reply(request))).toMatch(/interrupted|-32008/);
  });

  it.each(FORMATS)('is unknown when it never came: %s', async (_, request, read) => {
    const { answers, folder } = await startWired({});
    for (let time = 0; time < 2; time++) {
      expect(answers(request).map(read)).toEqual([expect.stringMatching(/unknown-command|-32601/)]);
    }
    expect(onDisk(folder)).toEqual([]);
  });
});
