import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Ending, JournalCommand } from '../../../agent/command/journal/entry.js';
import type { Journal } from '../../../agent/command/journal/types.js';
import { commandView, fullCommandView } from '../../../agent/service/control/command-view.js';
import {
  cancelledSchema,
  commandListSchema,
  commandSchema,
  purgedSchema,
} from '../../../agent/service/control/schema.js';
import type { ControlCommands } from '../../../agent/service/control/target.js';
import { temporaryFolder } from '../../support/files.js';
import { command, keyOf, openTestJournal, REPLY, standingClock, told } from '../command/journal/support.js';
import { openControl } from '../service/control/support.js';
import { supersimAgent } from './support.js';

/** A real journal, in memory, as the control socket's commands. */
const commandsOf = (journal: Journal): ControlCommands => ({
  list: async (limit) => (await journal.list({ limit })).map(commandView),
  async get(id) {
    const entry = await journal.get(id);
    return entry && fullCommandView(entry);
  },
  async cancel(id) {
    if ((await journal.get(id)) === undefined) return 'not-found';
    return new Promise((resolve, reject) => {
      const ending = { code: 'cancelled', reply: Buffer.from('error cancelled') };
      const waits = journal.cancel(id, ending, (error) => (error ? reject(error) : resolve('cancelled')));
      if (!waits) resolve('too-late');
    });
  },
  purge: () => journal.purge(),
});

/** A journal on a control socket, whose clock stands at 2027-01-15 08:00 UTC. */
async function openCommands() {
  const { clock, pass } = standingClock();
  const { journal } = await openTestJournal(undefined, clock);
  const { path } = await openControl({ target: { status: () => ({}), commands: commandsOf(journal) } });
  const accept = async (id: number, change: Partial<JournalCommand> = {}) =>
    expect(await told((done) => void journal.accept(command(id, change), done))).toBeUndefined();
  const start = async (id: number) => expect(await told((done) => journal.start(keyOf(id), done))).toBeUndefined();
  const finish = async (id: number, ending: Ending) =>
    expect(await told((done) => journal.finish(keyOf(id), ending, done))).toBeUndefined();
  /** A command's whole life. */
  async function live(id: number, change: Partial<JournalCommand> = {}, ending: Ending = { outcome: 'done' }) {
    await Promise.all([accept(id, change), start(id)]);
    await finish(id, ending);
  }
  const run = (...args: string[]) => supersimAgent(['commands', ...args, '--socket', path]);
  return { journal, pass, accept, start, finish, live, run };
}

/** What stands behind each name of a listing. */
const members = (stdout: string): Record<string, string> =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/)),
  );

describe('supersim-agent commands ls', () => {
  it('shows a table of the commands, newest first', async () => {
    const { pass, accept, start, live, run } = await openCommands();
    await live(1);
    pass(61_500);
    await live(
      2,
      { name: 'valve.open', format: 'text', peer: '127.0.0.1:4000' },
      { outcome: 'failed', code: 'handler-failed' },
    );
    await accept(3);
    await start(3);
    await accept(4);
    const { code, stdout, stderr } = await run('ls');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        'ID  RECEIVED (UTC)            NAME        STATE     OUTCOME/CODE           PEER            FORMAT  RUNS',
        '4   2027-01-15T08:01:01.500Z  relay.set   accepted  -                      gateway         json    0',
        '3   2027-01-15T08:01:01.500Z  relay.set   started   -                      gateway         json    1',
        '2   2027-01-15T08:01:01.500Z  valve.open  done      failed/handler-failed  127.0.0.1:4000  text    1',
        '1   2027-01-15T08:00:00.000Z  relay.set   done      done                   gateway         json    1',
        '',
      ].join('\n'),
    );
  });

  it('lists 50 by default', async () => {
    const { accept, run } = await openCommands();
    await Promise.all(Array.from({ length: 60 }, (_, index) => accept(index + 1)));
    const idsOf = (stdout: string) => stdout.trimEnd().split('\n').slice(1).map(Number.parseFloat);
    expect(idsOf((await run('ls')).stdout)).toEqual(Array.from({ length: 50 }, (_, index) => 60 - index));
    expect(idsOf((await run('ls', '--limit', '2')).stdout)).toEqual([60, 59]);
    expect(idsOf((await run('ls', '--limit=1000')).stdout)).toHaveLength(60);
  });

  it('prints the agent’s answer with --json', async () => {
    const { journal, accept, live, run } = await openCommands();
    await live(1, { id: 'a1' });
    await accept(2);
    const { code, stdout } = await run('ls', '--json', '--limit', '1');
    expect(code).toBe(0);
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(commandListSchema.parse(JSON.parse(stdout))).toEqual({
      commands: (await journal.list({ limit: 1 })).map(commandView),
    });
  });

  it('reports an empty journal', async () => {
    const { run } = await openCommands();
    expect(await run('ls')).toMatchObject({ code: 0, stdout: 'The journal has no commands.\n' });
    expect(await run('ls', '--json')).toMatchObject({ code: 0, stdout: '{"commands":[]}\n' });
  });
});

describe('supersim-agent commands show', () => {
  it('shows a finished command', async () => {
    const { pass, accept, start, finish, run } = await openCommands();
    await accept(1, { id: 'a1', port: 6970, idempotent: true, deadline: Date.UTC(2027, 0, 15, 9) });
    pass(1000);
    await start(1);
    pass(250);
    await finish(1, { outcome: 'failed', code: 'handler-failed', reply: REPLY });
    const { code, stdout, stderr } = await run('show', '1');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(members(stdout)).toEqual({
      id: '1',
      name: 'relay.set',
      state: 'done',
      outcome: 'failed',
      code: 'handler-failed',
      'caller’s id': 'a1',
      peer: 'gateway',
      source: '100.64.0.1:6969',
      port: '6970',
      transport: 'udp',
      format: 'json',
      idempotent: 'yes',
      runs: '1',
      received: '2027-01-15T08:00:00.000Z',
      started: '2027-01-15T08:00:01.000Z',
      finished: '2027-01-15T08:00:01.250Z',
      deadline: '2027-01-15T09:00:00.000Z',
      reply: '{"id":1,"result":"ok"}',
    });
  });

  it('shows a command that has not started', async () => {
    const { accept, run } = await openCommands();
    await accept(1, { id: undefined });
    const none = {
      outcome: '-',
      code: '-',
      'caller’s id': '-',
      started: '-',
      finished: '-',
      deadline: '-',
      reply: '-',
    };
    expect(members((await run('show', '1')).stdout)).toMatchObject({ state: 'accepted', runs: '0', ...none });
  });

  it('shows a deadline beyond the range of dates', async () => {
    const { accept, run } = await openCommands();
    await accept(1, { deadline: 1e300 });
    const { code, stdout } = await run('show', '1');
    expect({ code, deadline: members(stdout)['deadline'] }).toEqual({ code: 0, deadline: '1e+300 ms' });
  });

  it.each<[string, Uint8Array, string]>([
    ['text', Buffer.from('#1 ok größe 😀\tone\ntwo'), '#1 ok größe 😀\\tone\\ntwo'],
    ['nothing', Buffer.alloc(0), ''],
    ['CBOR', Buffer.from('a26269640166726573756c74626f6b', 'hex'), '0xa26269640166726573756c74626f6b'],
    ['bytes that happen to be UTF-8', Buffer.from([0, 1, 2]), '0x000102'],
    ['256 bytes', Buffer.alloc(256, 0xff), `0x${'ff'.repeat(256)}`],
    ['more bytes', Buffer.alloc(1300, 0xff), `0x${'ff'.repeat(256)}… (1300 bytes)`],
  ])('shows a reply: %s', async (_what, reply, shown) => {
    const { live, run } = await openCommands();
    await live(1, {}, { outcome: 'done', reply });
    const { stdout } = await run('show', '1');
    expect(/^reply {2,}(.*)\n$/m.exec(stdout)?.[1]).toBe(shown);
    expect(JSON.parse((await run('show', '1', '--json')).stdout)).toMatchObject({
      reply: Buffer.from(reply).toString('base64'),
    });
  });

  it('prints the agent’s answer with --json', async () => {
    const { journal, live, run } = await openCommands();
    await live(1, { id: 7 }, { outcome: 'done', reply: REPLY });
    const [entry] = await journal.list({ limit: 1 });
    const { code, stdout } = await run('show', '1', '--json');
    expect(code).toBe(0);
    expect(commandSchema.parse(JSON.parse(stdout))).toEqual(entry && fullCommandView(entry));
  });
});

describe('supersim-agent commands cancel', () => {
  it('cancels a command that has not started', async () => {
    const { journal, accept, run } = await openCommands();
    await accept(1);
    await accept(2);
    expect(await run('cancel', '1')).toMatchObject({
      code: 0,
      stdout: 'command 1 cancelled: it will not run\n',
      stderr: '',
    });
    expect(await journal.get(1)).toMatchObject({ state: 'refused', code: 'cancelled', runs: 0 });
    expect(await told((done) => journal.start(keyOf(1), done))).toMatchObject({ code: 'busy' });
    expect(await journal.get(2)).toMatchObject({ state: 'accepted' });
    const { stdout } = await run('cancel', '2', '--json');
    expect(cancelledSchema.parse(JSON.parse(stdout))).toEqual({ cancelled: 2 });
  });

  it('refuses to cancel a started or finished command', async () => {
    const { journal, accept, start, live, run } = await openCommands();
    await live(1);
    await accept(2);
    await start(2);
    for (const id of ['1', '2']) {
      const { code, stdout, stderr } = await run('cancel', id);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^error too-late: /);
    }
    expect((await journal.list({ limit: 2 })).map(({ state }) => state)).toEqual(['started', 'done']);
  });
});

describe('supersim-agent commands purge', () => {
  it('deletes finished commands and prints their number', async () => {
    const { journal, accept, live, run } = await openCommands();
    await live(1);
    await live(2);
    await accept(3);
    expect(await run('purge')).toMatchObject({ code: 0, stdout: 'finished commands deleted: 2\n', stderr: '' });
    expect((await journal.list({ limit: 10 })).map(({ seq }) => seq)).toEqual([3]);
    // A repeat of it is taken in as if it were new.
    await accept(1);
    const { stdout } = await run('purge', '--json');
    expect(purgedSchema.parse(JSON.parse(stdout))).toEqual({ purged: 0 });
  });
});

describe('supersim-agent commands', () => {
  it.each([[['ls']], [['show', '1']], [['cancel', '1']], [['purge']]])(
    'reports that the agent has no journal: %j',
    async (args) => {
      const { path } = await openControl({ target: { status: () => ({}), commands: undefined } });
      const { code, stdout, stderr } = await supersimAgent(['commands', ...args, '--socket', path]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^error no-journal: /);
    },
  );

  it.each(['show', 'cancel'])('reports an unknown ID: %s', async (action) => {
    const { live, run } = await openCommands();
    await live(1);
    const { code, stdout, stderr } = await run(action, '2');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^error no-such-command: .*2/);
  });

  it.each([
    [['show', 'x']],
    [['show', '0']],
    [['show', '1.5']],
    [['show', '']],
    [['show', '1/../purge']],
    [['cancel', '--', '-1']],
    [['cancel', '99999999999999999999']],
    [['show']],
    [['cancel']],
    [['show', '1', '2']],
    [['ls', '--limit', '0']],
    [['ls', '--limit', '1001']],
    [['ls', '--limit', 'x']],
    [['ls', '--limit', '-1']],
    [['ls', '--limit']],
    [['ls', '--limit=']],
    [['ls', '--limit', '1', '--limit', '2']],
    [['ls', 'more']],
    [['purge', '1']],
    [['purge', '--limit', '1']],
    [['bogus']],
    [[]],
  ])('exits with 2 without a request for wrong arguments: %j', async (args) => {
    // Whatever is asked here fails with exit code 1.
    const socket = join(temporaryFolder(), 'absent.sock');
    const { code, stdout } = await supersimAgent(['commands', '--socket', socket, ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('escapes control characters of commands', async () => {
    const { journal, live, run } = await openCommands();
    const hostile = '\u001b[2J\u001b]0;x\u0007\r\n\u{9b}31m\u{202e}';
    const change = { id: hostile, name: hostile, peer: hostile, transport: hostile };
    const reply = Buffer.from(`#1 ok ${hostile}`);
    await live(1, { ...change, source: { address: hostile, port: 1 } }, { outcome: 'failed', code: hostile, reply });
    // Its reply is text, but for the mark that turns it around.
    await live(2, change, { outcome: 'done', reply: Buffer.from('\u{202e}ok\nno') });
    for (const args of [['ls'], ['show', '1'], ['show', '2']]) {
      for (const flags of [[], ['--json']]) {
        const { code, stdout } = await run(...args, ...flags);
        expect(code).toBe(0);
        expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
      }
    }
    expect((await run('ls')).stdout.split('\n')).toHaveLength(4);
    expect((await run('show', '1')).stdout.split('\n')).toHaveLength(19);
    expect((await run('show', '2')).stdout).toContain('\\u202eok\\nno');
    const [second, first] = await journal.list({ limit: 2 });
    expect(JSON.parse((await run('ls', '--json')).stdout)).toEqual({
      commands: [second, first].map((entry) => entry && commandView(entry)),
    });
  });
});
