import { expect, it } from 'vitest';
import type { JournalEntry } from '../../../../agent/command/journal/entry.js';
import { commandView, fullCommandView } from '../../../../agent/service/control/command-view.js';
import { commandSchema } from '../../../../agent/service/control/schema.js';

const at = (wall: number) => ({ wall, monotonic: 1, boot: 'b' });
const entry: JournalEntry = {
  seq: 7,
  received: at(1000),
  command: {
    key: Buffer.from('key'),
    peer: 'gateway',
    name: 'relay.set',
    format: 'json',
    request: Buffer.from('secret'),
    source: { address: '100.64.0.1', port: 6969 },
    port: 6970,
    transport: 'udp',
    idempotent: true,
    deadline: 5000,
    lifetimeMs: 1,
  },
  state: 'done',
  runs: 2,
  started: at(2000),
  finished: at(3000),
  outcome: 'failed',
  code: 'handler-failed',
  reply: Buffer.from([0, 255]),
};

it('commandView leaves out the request and the key of a journal entry', () => {
  expect(commandView(entry)).toEqual({
    id: 7,
    name: 'relay.set',
    state: 'done',
    outcome: 'failed',
    code: 'handler-failed',
    callerId: null,
    peer: 'gateway',
    source: '100.64.0.1:6969',
    port: 6970,
    transport: 'udp',
    format: 'json',
    idempotent: true,
    runs: 2,
    received: 1000,
    started: 2000,
    finished: 3000,
    deadline: 5000,
  });
});

it('fullCommandView has the reply in Base64', () => {
  const full = { ...commandView(entry), reply: 'AP8=' };
  expect(fullCommandView(entry)).toEqual(full);
  expect(commandSchema.parse(JSON.parse(JSON.stringify(full)))).toEqual(full);
  expect(fullCommandView({ ...entry, reply: null, started: null })).toMatchObject({ reply: null, started: null });
});
