import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { buffer, judgeBuffer } from '../../../../../agent/doctor/checks/network/buffer.js';
import { expectJudgements, run } from '../../support.js';
import { MODEM_ONLY } from './support.js';

describe('the doctor’s buffer check', () => {
  it('compares the requested size with net.core.rmem_max', async () => {
    const most = Number(readFileSync('/proc/sys/net/core/rmem_max', 'utf8'));
    expect(await run(buffer, { listen: { receiveBufferBytes: most } })).toMatchObject([{ severity: 'good' }]);
    expect(await run(buffer, { listen: { receiveBufferBytes: most + 1 } })).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining(`net.core.rmem_max=${most + 1}`) },
    ]);
  });

  it('does not apply to an agent that uses only the modem', async () => {
    expect(await run(buffer, MODEM_ONLY)).toMatchObject([{ severity: 'note' }]);
  });
});

type Observation = Parameters<typeof judgeBuffer>[0];

const ALLOWED: Observation = { isUsed: true, asked: 1000, most: 2000, drops: 0 };

describe('judgeBuffer', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['a size that the kernel allows', {}, [/^good: 1000 bytes requested, 2000 allowed/]],
    ['exactly the size that the kernel allows', { most: 1000 }, [/^good: /]],
    ['an unknown number of drops', { drops: undefined }, [/^good: /]],
    ['an agent without UDP', { isUsed: false }, [/^note: the agent uses only the modem/]],
    ['an unreadable limit', { most: undefined }, [/^note: net\.core\.rmem_max cannot be read → .*rmem_max=1000/]],
    ['an unreadable limit and drops', { most: undefined, drops: 3 }, [/^note: .*dropped 3 datagrams/]],
    ['a lower limit', { most: 999 }, [/^warning: the agent requests 1000 bytes, the kernel allows 999 → /]],
    ['a lower limit and drops', { most: 999, drops: 3 }, [/^warning: .*dropped 3 datagrams because it was full/]],
    ['drops', { drops: 3 }, [/^warning: 1000 bytes; the kernel dropped 3 datagrams.* → Raise /]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeBuffer({ ...ALLOWED, ...change }), expected);
  });
});
