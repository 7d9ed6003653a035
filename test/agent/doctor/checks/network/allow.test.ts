import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allow, judgeAllow } from '../../../../../agent/doctor/checks/network/allow.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder } from '../../../../support/files.js';
import { openPeer, randomAddress } from '../../../../support/udp.js';
import { startAgent as startRealAgent } from '../../../cli/support.js';
import { expectJudgements, run } from '../../support.js';
import { startAgent } from './support.js';

describe('the doctor’s allow check', () => {
  it('reports an allow list without the gateway', async () => {
    const found = await run(allow, { allow: ['10.0.0.0/8'] });
    expect(found[0]).toMatchObject({ severity: 'error', remedy: expect.stringContaining('100.64.0.0/10') });
  });

  it('shows the datagrams in no known format that the running agent has refused', async () => {
    const { socket, device } = await startAgent();
    const known = await openPeer();
    const config = { control: { socket }, allow: [`${known.endpoint.address}/32`, '100.64.0.0/10'] };
    expect(await run(allow, config)).toMatchObject([{ severity: 'good' }]);
    // The agent admits all of 127.0.0.0/8; these bytes are in no format that it knows.
    await known.ask('#1 ping', device);
    await known.send(Buffer.from([0xff, 0xfe]), device);
    await known.ask('#2 ping', device);
    expect(await run(allow, config)).toMatchObject([
      { severity: 'note', found: expect.stringContaining(`${known.endpoint.address} sent datagrams in no known`) },
      { severity: 'note', found: `commands came from ${known.endpoint.address} (2)` },
    ]);
  });

  it('shows the sources that the running agent has refused, and judges them by the present configuration', async () => {
    const only = randomAddress();
    const socket = join(temporaryFolder(), 'control.sock');
    const env = { SUPERSIM_AGENT_CONTROL_SOCKET: socket, SUPERSIM_AGENT_ALLOW: `[${only}/32]` };
    const { device } = await startRealAgent('', { env });
    const friend = await openPeer(only);
    const stranger = await openPeer();
    await stranger.send('#1 ping', device);
    await stranger.send('#2 ping', device);
    await friend.ask('#3 ping', device);
    const { address } = stranger.endpoint;
    const config = { control: { socket }, allow: [`${only}/32`, '100.64.0.0/10'] };
    await expect
      .poll(() => run(allow, config))
      .toMatchObject([
        {
          severity: 'warning',
          found: expect.stringMatching(new RegExp(`${address} is not admitted: 2 times`)),
          remedy: expect.stringContaining(`${address}/32`),
        },
        { severity: 'note', found: `commands came from ${only} (1)` },
      ]);
    expect(await run(allow, { ...config, allow: ['127.0.0.0/8', '100.64.0.0/10'] })).toMatchObject([
      { severity: 'note' },
      { severity: 'note' },
    ]);
  });
});

type Observation = Parameters<typeof judgeAllow>[0];

const NOBODY = { addresses: [], others: 0 };
const FROM_GATEWAY = { addresses: [{ address: '100.64.0.1', commands: 12 }], others: 0 };
const CARRIER: Observation = { allow: ['100.64.0.0/10'], gateway: '100.64.0.1', refused: [], sources: NOBODY };
const refused = (cause: string, address: string) => [{ cause, address, times: 2, at: 0, bytes: 9 }];

describe('judgeAllow', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['the carrier’s range', {}, [/^good: no datagram refused/]],
    [
      'a list without the gateway',
      { allow: ['10.0.0.0/8'] },
      [/^error: it does not admit 100\.64\.0\.1, .* → .*100\.64\.0\.0\/10/],
    ],
    [
      'a list without the gateway and no agent',
      { allow: ['10.0.0.0/8'], refused: new SupersimError('control-unreachable', 'no agent listens') },
      [/^error: /, /^note: no agent listens → /],
    ],
    [
      'a refused IPv4 source',
      { refused: refused('source', '10.1.2.3') },
      [
        /^warning: 10\.1\.2\.3 is not admitted: 2 times, last at 1970-01-01T00:00:00\.000Z with 9 bytes → .*10\.1\.2\.3\/32/,
      ],
    ],
    [
      'a refused IPv6 source with a zone',
      { refused: refused('source', 'fe80::1%wwan0') },
      [/^warning: fe80::1%wwan0 is not admitted.*`fe80::1\/128`/],
    ],
    [
      'a refused source that is allowed now',
      { refused: refused('source', '100.64.7.7') },
      [/^note: 100\.64\.7\.7 was refused 2 times.* would admit it → .*reload/],
    ],
    ['a malformed datagram', { refused: refused('malformed', '100.64.0.1') }, [/^note: .* in no known format: /]],
    ['an oversize datagram', { refused: refused('oversize', '100.64.0.1') }, [/^note: .* sent oversize datagrams: /]],
    ['an empty datagram', { refused: refused('empty', '100.64.0.1') }, [/^note: .* sent empty datagrams: /]],
    [
      'an address that sent too much',
      { refused: refused('overload', '100.64.0.1') },
      [/^note: 100\.64\.0\.1 sent more than the agent could handle: 2 times.* → .*send less/],
    ],
    [
      'commands from one address of the range',
      { sources: FROM_GATEWAY },
      [/^good: /, /^note: commands came from 100\.64\.0\.1 \(12\) → .*`allow: \[100\.64\.0\.1\/32\]`/],
    ],
    [
      'commands from the only address of the list',
      { sources: FROM_GATEWAY, allow: ['100.64.0.1/32'] },
      [/^good: /, /^good: commands came from 100\.64\.0\.1 \(12\)$/],
    ],
    [
      'commands from more addresses than are told apart',
      { sources: { ...FROM_GATEWAY, others: 3 } },
      [/^good: /, /^note: commands came from 100\.64\.0\.1 \(12\), others \(3\) → Keep `allow` as narrow/],
    ],
    [
      'several refused sources',
      { refused: [...refused('source', '10.1.2.3'), ...refused('malformed', '100.64.0.1')] },
      [/^warning: /, /^note: /],
    ],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeAllow({ ...CARRIER, ...change }), expected);
  });
});
