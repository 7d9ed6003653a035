import { describe, expect, it } from 'vitest';
import { agent, judgeAgent } from '../../../../../agent/doctor/checks/service/agent.js';
import { statusSchema } from '../../../../../agent/service/control/schema.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { VERSION } from '../../../../../shared/version.js';
import { expectJudgements, run } from '../../support.js';
import { startAgent } from '../network/support.js';

describe('the doctor’s agent check', () => {
  it('reports that no agent runs', async () => {
    expect(await run(agent)).toMatchObject([
      { severity: 'error', code: 'control-unreachable', remedy: expect.stringContaining('systemctl start') },
    ]);
  });

  it('finds a running agent whose link is up', async () => {
    const { socket, device } = await startAgent();
    expect(await run(agent, { control: { socket } })).toMatchObject([
      { severity: 'good', found: expect.stringContaining(VERSION) },
      { severity: 'good', found: expect.stringContaining(device.address) },
    ]);
  });
});

const UDP = { name: 'udp', up: true, since: 0, address: '10.64.3.4' };
const MODEM = { name: 'modem', up: true, since: 0 };
const linksOf = (...links: object[]) => ({ link: { name: 'udp', since: 0, switches: 0, links } });

const UNWRITABLE = {
  ...{ persistent: true, writable: false, reason: 'the disk has not answered for 9 s', entries: 1, bytes: 1, live: 1 },
  ...{ remembered: 1, damaged: 0, lost: 0, rewritten: 0, restarted: 0 },
};

/** The status of a running agent. */
const statusOf = (change: object) =>
  statusSchema.parse({
    version: VERSION,
    pid: 7,
    uptime: 1.5,
    memory: { rss: 1, heapUsed: 1 },
    cpuSeconds: 1,
    ports: [6969],
    ...linksOf(UDP),
    running: 0,
    waiting: 0,
    counters: {
      ...{ received: 0, refusedSource: 0, refusedEmpty: 0, refusedOversize: 0, malformed: 0, repeats: 0 },
      ...{ outcomes: {}, sent: 0, unsent: 0, receivedBytes: 0, sentBytes: 0 },
    },
    outbox: { entries: 0, bytes: 0, drops: { count: 0, expired: 0 } },
    ...change,
  });

describe('judgeAgent', () => {
  it.each<[string, object, RegExp[]]>([
    ['a healthy agent', {}, [/^good: version .*, process 7, up 1 s$/, /^good: link udp is up, 10\.64\.3\.4$/]],
    ['a link without an address', linksOf(MODEM), [/^good/, /^good: link modem is up$/]],
    ['an agent without a link yet', { link: undefined }, [/^good/]],
    ['an agent of another version', { version: '0.0.1' }, [/^warning: .*0\.0\.1, this program .*restart/, /^good/]],
    [
      'a link that is down beside one that is up',
      linksOf({ ...UDP, up: false, reason: 'no address' }, MODEM),
      [/^good/, /^warning link-down: link udp is down: no address; the other link is in use → /, /^good/],
    ],
    [
      'links that are all down',
      linksOf({ ...UDP, up: false }, { ...MODEM, up: false, reason: 'no SIM' }),
      [/^good/, /^error link-down: link udp is down: unknown → /, /^error link-down: link modem is down: no SIM → /],
    ],
    ['waiting commands', { waiting: 5 }, [/^good/, /^good/, /^note: 5 commands wait to run → .*commands ls/]],
    [
      'commands that wait for the journal',
      { waiting: 5, journal: UNWRITABLE },
      [/^good/, /^good/, /^note: 5 commands wait to run → They may wait for the journal, .*below\.$/],
    ],
    [
      'datagrams in the outbox',
      { outbox: { entries: 2, bytes: 20, drops: {} } },
      [/^good/, /^good/, /^note: 2 replies and events wait in the outbox/],
    ],
    [
      'datagrams that were dropped from the outbox',
      { outbox: { entries: 0, bytes: 0, drops: { count: 1, expired: 2 } } },
      [/^good/, /^good/, /^warning: 3 replies and events were lost .* → Raise /],
    ],
    ['an agent without an outbox', { outbox: undefined }, [/^good/, /^good/]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeAgent({ socket: 's', status: statusOf(change) }), expected);
  });

  it.each<[string, SupersimError, RegExp[]]>([
    [
      'no agent',
      new SupersimError('control-unreachable', 'no agent listens'),
      [/^error control-unreachable: no agent/],
    ],
    [
      'a socket that this user may not use',
      new SupersimError('control-forbidden', 'not permitted'),
      [/^note: not permitted → /],
    ],
  ])('judges %s', (_what, status, expected) => {
    expectJudgements(judgeAgent({ socket: 's', status }), expected);
  });
});
