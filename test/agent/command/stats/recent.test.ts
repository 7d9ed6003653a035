import { expect, it } from 'vitest';
import { createRecent } from '../../../../agent/command/stats/recent.js';

it('remembers who was refused last, how often and when, the latest first', () => {
  let now = 1000;
  const recent = createRecent(() => now++);
  expect(recent.refusedSources()).toEqual([]);
  recent.refused('source', '203.0.113.1', 10);
  recent.refused('malformed', '100.64.0.1', 20);
  recent.refused('source', '203.0.113.1', 30);
  expect(recent.refusedSources()).toEqual([
    { cause: 'source', address: '203.0.113.1', times: 2, at: 1002, bytes: 30 },
    { cause: 'malformed', address: '100.64.0.1', times: 1, at: 1001, bytes: 20 },
  ]);
});

it('stays small in a flood from many addresses, and keeps what was refused for another reason', () => {
  let now = 0;
  const recent = createRecent(() => now++);
  recent.refused('malformed', '100.64.0.1', 5);
  for (let host = 0; host < 1000; host++) recent.refused('source', `203.0.${host >> 8}.${host & 255}`, 1);
  const last = recent.refusedSources();
  expect(last.length).toBeLessThan(20);
  expect(last[0]).toMatchObject({ address: '203.0.3.231' });
  expect(last.at(-1)).toMatchObject({ cause: 'malformed', address: '100.64.0.1' });
});
