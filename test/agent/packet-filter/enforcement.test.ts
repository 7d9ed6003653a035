import { describe, expect, it } from 'vitest';
import {
  createRulesWatch,
  describeEnforcement,
  type EnforcementFacts,
  judgeEnforcement,
  type LoadedRules,
  readLoadedRules,
} from '../../../agent/packet-filter/enforcement.js';
import { formatRuleset } from '../../../agent/packet-filter/ruleset.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

const SETTINGS = { interface: 'wwan0', ports: [6969] };
const LOADED: LoadedRules = { settings: SETTINGS, at: 0 };
const GOOD: EnforcementFacts = { rules: LOADED, ports: [6969], listens: 'wwan0', ownArrives: false };
const NO_RULES = { rules: undefined };

describe('the cellular interface', () => {
  it.each<[string, Partial<EnforcementFacts>, RegExp]>([
    [
      'the rules are loaded and a local datagram is dropped',
      {},
      /^enforced, rules for wwan0 of 1970-01-01T00:00:00.000Z: /,
    ],
    ['the rules cover more ports', { rules: { settings: { ...SETTINGS, ports: [6969, 7001] }, at: 0 } }, /^enforced/],
    ['it is not known which interface the agent listens on', { listens: undefined }, /^enforced/],
    ['a local datagram arrives', { ...NO_RULES, ownArrives: true }, /^not enforced: every user .*--interface wwan0`$/],
    [
      'the loaded rules are gone',
      { ownArrives: true },
      /^not enforced, rules for wwan0 .* are gone.*`sudo systemctl reload-or-restart /,
    ],
    ['a port is not covered', { ports: [6969, 7001] }, /^not enforced, .*: the rules do not cover port 7001; run /],
    [
      'a port is not covered, and open',
      { ports: [6969, 7001], ownArrives: true },
      /^not enforced, .* cover port 7001; run /,
    ],
    [
      'the rules are for another interface',
      { listens: 'ppp0' },
      /^not enforced, .*for wwan0, .* listens on ppp0; run .*ppp0`$/,
    ],
    ['the loaded rules were changed', { rules: { settings: undefined, at: 0 } }, /^not enforced: .* not those of /],
    [
      'nothing was tested yet',
      { ownArrives: undefined },
      /^unknown, rules for wwan0 .*: rules were loaded, but not tested/,
    ],
    [
      'nothing was loaded or tested',
      { ...NO_RULES, listens: undefined, ownArrives: undefined },
      /^unknown: no rules .*secure`$/,
    ],
    [
      'something else drops a local datagram',
      NO_RULES,
      /^unknown: other rules drop datagrams from this host; .*doctor/,
    ],
  ])('is judged when %s', (_what, change, expected) => {
    expect(describeEnforcement(judgeEnforcement({ ...GOOD, ...change }))).toMatch(expected);
  });
});

describe('the loaded rules', () => {
  it('are read from the unit’s copy, with their time', () => {
    const file = writeFile(temporaryFolder(), 'loaded.nft', formatRuleset(SETTINGS));
    expect(readLoadedRules(file)).toEqual({ settings: SETTINGS, at: expect.any(Number) });
    expect(readLoadedRules(writeFile(temporaryFolder(), 'loaded.nft', 'flush ruleset\n'))).toMatchObject({
      settings: undefined,
    });
    expect(readLoadedRules('/nonexistent/loaded.nft')).toBe(undefined);
  });

  it('are watched: their time tells from when a test counts, and so does that of their end', () => {
    let rules: LoadedRules | undefined;
    const watch = createRulesWatch(
      () => rules,
      () => 900,
    );
    expect(watch()).toEqual({ rules: undefined, changed: 0 });
    rules = { settings: SETTINGS, at: 500 };
    expect([watch().changed, watch().changed]).toEqual([500, 500]);
    rules = undefined;
    expect([watch().changed, watch().changed]).toEqual([900, 900]);
  });
});
