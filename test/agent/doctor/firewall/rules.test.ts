import { describe, expect, it } from 'vitest';
import { parseIptables } from '../../../../agent/doctor/firewall/iptables.js';
import { parseNft } from '../../../../agent/doctor/firewall/nft.js';
import { followPacket, type Packet } from '../../../../agent/doctor/firewall/rules.js';

const OUT: Packet = {
  direction: 'out',
  source: undefined,
  sourcePort: 6969,
  destination: '100.64.0.1',
  destinationPort: 6969,
  interface: undefined,
};

describe('followPacket', () => {
  it('lists rules that depend on unknown properties as possible drops only', () => {
    const chains = parseIptables(
      [
        ...['*filter', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':odd - [0:0]'],
        ...['-A OUTPUT -o eth0 -j DROP', '-A OUTPUT -m owner --uid-owner 33 -j DROP', '-A OUTPUT -j odd'],
        ...['-A odd -m limit --limit 3/min -j LOG --log-prefix "a -j DROP b"', '-A odd -s 10.0.0.0/8 -j RETURN'],
        ...['-A odd -d 203.0.113.0/24 -j DROP', 'COMMIT'],
      ].join('\n'),
    );
    const { blockingChain, droppedBy, possibleDrops } = followPacket(OUT, chains);
    expect({ blockingChain, droppedBy }).toEqual({ blockingChain: undefined, droppedBy: [] });
    expect(possibleDrops).toEqual([expect.stringContaining('eth0'), expect.stringContaining('--uid-owner 33')]);
  });

  it('does not report a chain as blocking that may accept the packet', () => {
    const rules = (...lines: string[]) => parseIptables(['*filter', ':OUTPUT DROP [0:0]', ...lines].join('\n'));
    const blockingChain = (...lines: string[]) => followPacket(OUT, rules(...lines)).blockingChain;
    expect(blockingChain()).toBe('iptables filter OUTPUT');
    expect(blockingChain('-A OUTPUT -s 10.0.0.0/8 -j ACCEPT')).toBeUndefined();
    expect(blockingChain('-A OUTPUT -d 10.0.0.0/8 -j ACCEPT')).toBe('iptables filter OUTPUT');
  });

  it('ends also when chains form a loop', () => {
    const circle = parseIptables(
      ['*filter', ':OUTPUT ACCEPT [0:0]', ':a - [0:0]', '-A OUTPUT -j a', '-A a -j a', '-A a -j DROP'].join('\n'),
    );
    expect(followPacket(OUT, circle).blockingChain).toBe('iptables filter OUTPUT');
  });

  it('finds no chains in other input', () => {
    expect(parseNft(undefined)).toBeUndefined();
    expect(parseNft({ nftables: [{ metainfo: {} }, { rule: { family: 'ip' } }, { chain: 7 }] })).toEqual([]);
    expect(parseIptables('')).toEqual([]);
  });
});
