import { expect, it } from 'vitest';
import { createAgent } from '../../../../agent/index.js';
import { statusLine } from '../../../../agent/service/systemd/status-line.js';
import type { AgentStatus } from '../../../../agent/status.js';
import { onlyLink } from '../../../../agent/transport/transport.js';

const AT = Date.UTC(2026, 0, 2, 3, 4, 5);
const UP = { name: 'udp', up: true, since: AT, address: '10.1.2.3' };
const DOWN = { name: 'modem', up: false, since: AT, reason: 'the modem is not registered: searching' };
const COMMAND = { name: 'relay.set', outcome: 'done', peer: 'gateway', transport: 'udp', at: AT } as const;
const OUTBOX = { entries: 7, bytes: 70, drops: { count: 0, bytes: 0, expired: 0 } };

const lineOf = (change: Partial<AgentStatus>) => statusLine({ ...createAgent().status(), ...change });

it.each<[string, Partial<AgentStatus>, string]>([
  ['before the start', {}, 'no link; no command yet; 0 running, 0 waiting, 0 in the outbox'],
  [
    'with a link, after a command',
    { link: onlyLink(UP, AT), lastCommand: { ...COMMAND, code: undefined }, running: 2, waiting: 1, outbox: OUTBOX },
    'udp up, 10.1.2.3; last command relay.set done at 2026-01-02T03:04:05Z; 2 running, 1 waiting, 7 in the outbox',
  ],
  [
    'without a link, after a command that failed',
    { link: onlyLink(DOWN, AT), lastCommand: { ...COMMAND, outcome: 'failed', code: 'handler-timeout' } },
    'modem down: the modem is not registered: searching; last command relay.set failed (handler-timeout) at 2026-01-02T03:04:05Z; 0 running, 0 waiting, 0 in the outbox',
  ],
  [
    'with two links, of which the first is in use',
    {
      link: { name: 'udp', since: AT, switches: 1, links: [UP, DOWN] },
      lastCommand: { ...COMMAND, name: undefined, outcome: 'refused', code: 'parse-error' },
    },
    'udp up, 10.1.2.3; last command unreadable refused (parse-error) at 2026-01-02T03:04:05Z; 0 running, 0 waiting, 0 in the outbox',
  ],
])('%s', (_when, change, line) => {
  expect(lineOf(change)).toBe(line);
});

it('statusLine is never longer than systemd accepts, even when every character becomes six', () => {
  const link = onlyLink({ ...DOWN, reason: '\n'.repeat(5000) }, AT);
  expect(Buffer.byteLength(lineOf({ link })) * 6).toBeLessThan(4096);
});
