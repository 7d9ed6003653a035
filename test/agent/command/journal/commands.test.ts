import { describe, expect, it } from 'vitest';
import { journalCommands } from '../../../../agent/command/journal/commands.js';
import { SupersimError } from '../../../../shared/errors.js';
import { requestBytes, withoutId } from '../../../support/coap.js';
import { heldHandler, lookingHandler, onDisk, settled, startWired } from '../wired-support.js';

/** One command that runs, in an agent with one place, and what waits behind it. */
async function startBusy(...waiting: (Uint8Array | string)[]) {
  const held = heldHandler();
  const other = lookingHandler('other', () => 1);
  const config = { limits: { running: 1 } };
  const started = await startWired({ handlers: [held.handler, other.handler], config });
  started.receive('#1 hold');
  await held.running;
  for (const request of waiting) started.receive(request);
  await settled();
  return {
    ...started,
    release: held.release,
    seen: other.seen,
    commands: journalCommands(started.journal, started.runner),
  };
}

describe('cancelling', () => {
  it('a command that waits ends it, tells its caller, and it never runs', async () => {
    const { commands, texts, folder, release, seen, runner, journal } = await startBusy('#2 other', '#3 other');
    expect(await commands.cancel(2)).toBe('cancelled');
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#2 error cancelled /)]);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', outcome: 'refused', code: 'cancelled', runs: 0 });
    expect(runner.waiting).toBe(1);
    release('x');
    await settled();
    expect(texts().slice(1)).toEqual(['#1 ok x', '#3 ok ok']);
    expect(seen).toHaveLength(1);
    expect(journal.size.live).toBe(0);
  });

  it('a command is known to its repeats', async () => {
    const { commands, texts, receive, seen, release } = await startBusy('#2 other');
    await commands.cancel(2);
    await settled();
    receive('#2 other');
    await settled();
    release('x');
    await settled();
    expect(texts()[1]).toMatch(/^#2 repeat error cancelled /);
    expect(seen).toEqual([]);
  });

  it.each([
    ['json', '{"id":2,"method":"other"}', String, /"id":2,.*-32006/],
    ['coap', requestBytes({ path: 'other', token: 'a' }), withoutId, /^ACK 5\.03 "a" cancelled: /],
  ] as const)('a command tells its caller in its format: %s', async (_, request, read, told) => {
    const { commands, sent, folder } = await startBusy(request);
    expect(await commands.cancel(2)).toBe('cancelled');
    await settled();
    expect(sent.map(({ bytes }) => read(bytes))).toEqual([expect.stringMatching(told)]);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', code: 'cancelled' });
  });

  it('a notification tells nobody', async () => {
    const { commands, sent, folder } = await startBusy('{"method":"other"}');
    expect(await commands.cancel(2)).toBe('cancelled');
    await settled();
    expect(sent).toEqual([]);
    expect(onDisk(folder)[1]).toMatchObject({ state: 'refused', code: 'cancelled' });
  });

  it('a batch cancels all of it', async () => {
    const { commands, sent, seen, release } = await startBusy('[{"id":2,"method":"other"},{"id":3,"method":"other"}]');
    expect(await commands.cancel(2)).toBe('cancelled');
    await settled();
    release('x');
    await settled();
    expect(JSON.parse(String(sent[0]?.bytes))).toMatchObject([
      { id: 2, error: { code: -32006 } },
      { id: 3, error: { code: -32006 } },
    ]);
    expect(seen).toEqual([]);
  });

  it('a batch of which something runs is too late', async () => {
    const { handler, running, release, called } = heldHandler();
    const { journal, runner, receive, sent } = await startWired({
      handlers: [handler],
      config: { limits: { running: 1 } },
    });
    receive('[{"id":2,"method":"hold"},{"id":3,"method":"hold"}]');
    await running;
    await settled();
    expect(await journalCommands(journal, runner).cancel(1)).toBe('too-late');
    release('x');
    await settled();
    expect(called).toHaveLength(2);
    expect(JSON.parse(String(sent[0]?.bytes))).toMatchObject([{ result: 'x' }, { result: 'x' }]);
  });

  it('is too late for what runs, has ended or was cancelled, and cannot be for what nobody knows', async () => {
    const { commands, texts, release } = await startBusy('#2 other', '#3 other');
    expect(await commands.cancel(1)).toBe('too-late');
    expect(await commands.cancel(3)).toBe('cancelled');
    expect(await commands.cancel(3)).toBe('too-late');
    release('x');
    await settled();
    expect(await Promise.all([1, 2, 3].map((id) => commands.cancel(id)))).toEqual(Array(3).fill('too-late'));
    expect(await Promise.all([0, 4, -1, 1.5].map((id) => commands.cancel(id)))).toEqual(Array(4).fill('not-found'));
    expect(texts().filter((text) => text.includes('cancelled'))).toHaveLength(1);
  });

  it('leaves the others in their order', async () => {
    const requests = Array.from({ length: 6 }, (_, index) => `#${index + 2} other`);
    const { commands, texts, release } = await startBusy(...requests);
    expect(await Promise.all([2, 5, 7].map((id) => commands.cancel(id)))).toEqual(Array(3).fill('cancelled'));
    await settled();
    release('x');
    for (let turn = 0; turn < 3; turn++) await settled();
    expect(texts().slice(3)).toEqual(['#1 ok x', '#3 ok ok', '#4 ok ok', '#6 ok ok']);
  });

  it('gives back the room that it waited in', async () => {
    const held = heldHandler();
    const other = lookingHandler('other', () => 1);
    const { receive, texts, journal, runner } = await startWired({
      handlers: [held.handler, other.handler],
      config: { limits: { running: 1, waiting: 1 } },
    });
    receive('#1 hold');
    await held.running;
    receive('#2 other');
    receive('#3 other');
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#3 error busy /)]);
    expect(await journalCommands(journal, runner).cancel(2)).toBe('cancelled');
    receive('#4 other');
    await settled();
    expect(texts()).toEqual([expect.stringMatching(/^#3 error busy /), expect.stringMatching(/^#2 error cancelled /)]);
    held.release('x');
    await settled();
    expect(texts().slice(2)).toEqual(['#1 ok x', '#4 ok ok']);
  });
});

describe('the commands of the journal', () => {
  it('are listed newest first, and shown one by one, as they are now', async () => {
    const { commands, release } = await startBusy('#2 other');
    const brief = async () => (await commands.list(10)).map(({ seq, state, command }) => [seq, command.id, state]);
    expect(await brief()).toEqual([
      [2, '2', 'accepted'],
      [1, '1', 'started'],
    ]);
    expect(await commands.list(1)).toHaveLength(1);
    release('x');
    await settled();
    expect(await brief()).toEqual([
      [2, '2', 'done'],
      [1, '1', 'done'],
    ]);
    expect(await commands.get(1)).toMatchObject({ seq: 1, reply: Buffer.from('#1 ok x') });
    expect(await commands.get(3)).toBeUndefined();
  });

  it('that have ended are forgotten by a purge, the others not', async () => {
    const { commands, receive, folder, release, texts, seen } = await startBusy('#2 other', '#3 other');
    await commands.cancel(3);
    await settled();
    expect(await commands.purge()).toBe(1);
    expect(onDisk(folder).map(({ state }) => state)).toEqual(['started', 'accepted']);
    release('x');
    await settled();
    expect(await commands.purge()).toBe(2);
    expect(await commands.purge()).toBe(0);
    expect(onDisk(folder)).toEqual([]);
    receive('#4 other');
    await settled();
    expect(texts().at(-1)).toBe('#4 ok ok');
    expect(seen).toHaveLength(2);
    expect((await commands.list(10)).map(({ command }) => command.id)).toEqual(['4']);
  });

  it('that are gone cannot be forgotten when the database is closed', async () => {
    const { commands, database } = await startBusy();
    await database.close();
    await expect(commands.purge()).rejects.toMatchObject({ code: 'busy' });
    await expect(commands.list(1)).rejects.toMatchObject({ code: 'busy' });
    await expect(commands.cancel(1)).rejects.toMatchObject({ code: 'busy' });
  });

  it('are refused while the disk does not answer, and nothing comes of it later', async () => {
    const { journal, runner, release, texts, commands } = await startBusy('#2 other');
    const busy = new SupersimError('busy', 'the disk has not answered for 6 s');
    const refused = journalCommands(journal, runner, { whileAnswering: () => Promise.reject(busy) });
    const asked = [refused.list(1), refused.get(1), refused.cancel(2), refused.purge()];
    await Promise.all(asked.map((each) => expect(each).rejects.toBe(busy)));
    release('x');
    await settled();
    expect(texts()).toEqual(['#1 ok x', '#2 ok ok']);
    expect(await commands.list(10)).toHaveLength(2);
  });
});
