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

describe('rules', () => {
  it('that depend on what is not known are suspects, and no more', () => {
    const chains = parseIptables(
      [
        ...['*filter', ':INPUT ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]', ':odd - [0:0]'],
        ...['-A OUTPUT -o eth0 -j DROP', '-A OUTPUT -m owner --uid-owner 33 -j DROP', '-A OUTPUT -j odd'],
        ...['-A odd -m limit --limit 3/min -j LOG --log-prefix "a -j DROP b"', '-A odd -s 10.0.0.0/8 -j RETURN'],
        ...['-A odd -d 203.0.113.0/24 -j DROP', 'COMMIT'],
      ].join('\n'),
    );
    const { closed, droppedBy, suspects } = followPacket(OUT, chains);
    expect({ closed, droppedBy }).toEqual({ closed: undefined, droppedBy: [] });
    expect(suspects).toEqual([expect.stringContaining('eth0'), expect.stringContaining('--uid-owner 33')]);
  });

  it('that let it through only perhaps do not close the chain', () => {
    const rules = (...lines: string[]) => parseIptables(['*filter', ':OUTPUT DROP [0:0]', ...lines].join('\n'));
    const closed = (...lines: string[]) => followPacket(OUT, rules(...lines)).closed;
    expect(closed()).toBe('iptables filter OUTPUT');
    expect(closed('-A OUTPUT -s 10.0.0.0/8 -j ACCEPT')).toBeUndefined();
    expect(closed('-A OUTPUT -d 10.0.0.0/8 -j ACCEPT')).toBe('iptables filter OUTPUT');
  });

  it('are followed to an end, even when they were read in a circle', () => {
    const circle = parseIptables(
      ['*filter', ':OUTPUT ACCEPT [0:0]', ':a - [0:0]', '-A OUTPUT -j a', '-A a -j a', '-A a -j DROP'].join('\n'),
    );
    expect(followPacket(OUT, circle).closed).toBe('iptables filter OUTPUT');
  });

  it('of another form are none', () => {
    expect(parseNft(undefined)).toBeUndefined();
    expect(parseNft({ nftables: [{ metainfo: {} }, { rule: { family: 'ip' } }, { chain: 7 }] })).toEqual([]);
    expect(parseIptables('')).toEqual([]);
  });
});
