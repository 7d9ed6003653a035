import { describe, expect, it } from 'vitest';
import { formatRuleset, isInterfaceName, parseRuleset, rulesFor } from '../../../agent/packet-filter/ruleset.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { runProcess } from '../../support/process.js';

describe('the name of an interface in rules', () => {
  it.each(['wwan0', 'wwp0s20u4i4', 'ppp0', 'usb0', 'enx0a1b2c3d4e5f', 'br-lan', 'eth0.7', '_x'])(
    'may be %s',
    (name) => {
      expect(isInterfaceName(name)).toBe(true);
    },
  );

  it.each([
    ...['', 'lo', 'auto', 'all', 'default', '.', '..', 'wwan*', 'wwan0"', 'a b', 'a/b', 'a:b', '-x', '@x', 'é', 'a\nb'],
    'sixteen-letters0',
  ])('is never %j', (name) => {
    expect(isInterfaceName(name)).toBe(false);
  });
});

describe('the rules', () => {
  const settings = { interface: 'wwan0', ports: [6969, 7001] };

  it('name the interface, not its index, and all device ports in rising order', () => {
    const rules = formatRuleset(rulesFor('wwan0', [{ port: 7001 }, { port: 6969 }]));
    expect(rules).toContain('iifname != "wwan0" udp dport { 6969, 7001 } counter drop');
    expect(rules).toContain('oifname != "wwan0" udp sport { 6969, 7001 } counter drop');
  });

  it('can be read back, unless they were changed', () => {
    const rules = formatRuleset(settings);
    expect(parseRuleset(rules)).toEqual(settings);
    for (const [from, to] of [
      ['drop', 'accept'],
      ['wwan0', 'lo'],
      ['7001', '7002'],
      ['oifname', 'iifname'],
      ['table', '#table'],
    ] as const)
      expect(parseRuleset(rules.replace(from, to))).toBe(undefined);
    expect(parseRuleset('')).toBe(undefined);
  });

  it.skipIf(needs('root', 'nft', 'unshare'))(
    'are taken by nft, and replace those before, and nobody else’s',
    async () => {
      const folder = temporaryFolder();
      const first = writeFile(folder, 'first.nft', formatRuleset(settings));
      const second = writeFile(folder, 'second.nft', formatRuleset({ interface: 'ppp0', ports: [6969] }));
      const script = `nft add table inet other; nft -f ${first}; nft -f ${first}; nft -f ${second}; nft -nn list ruleset`;
      const { code, output } = await runProcess('unshare', ['--net', 'sh', '-ec', script]);
      expect([code, output.match(/table .*(?= \{)/g)]).toEqual([0, ['table inet other', 'table inet supersim_agent']]);
      expect(output.match(/[io]ifname .*/g)).toEqual([
        'iifname != "ppp0" udp dport 6969 counter packets 0 bytes 0 drop',
        'oifname != "ppp0" udp sport 6969 counter packets 0 bytes 0 drop',
      ]);
    },
  );
});
