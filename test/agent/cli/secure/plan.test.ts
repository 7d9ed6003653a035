import { describe, expect, it } from 'vitest';
import { formatPlan, formatUndo, type Interfaces, planRules } from '../../../../agent/cli/secure/plan.js';
import { resolveConfig } from '../../../../agent/config/load.js';
import type { ConfigInput } from '../../../../agent/config/schema.js';
import { isSupersimError } from '../../../../shared/errors.js';

const ONE: Interfaces = { all: ['lo', 'eth0', 'wwan0'], cellular: ['wwan0'] };
const NONE: Interfaces = { all: ['lo', 'eth0', 'usb0'], cellular: [] };
const TWO: Interfaces = { all: ['lo', 'ppp0', 'wwan0'], cellular: ['ppp0', 'wwan0'] };

const plan = (named: string | undefined, config: ConfigInput, interfaces: Interfaces) =>
  planRules(named, resolveConfig(config), interfaces);

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return isSupersimError(error) ? error.code : String(error);
  }
}

describe('the plan of secure', () => {
  it.each<[string, string | undefined, ConfigInput, Interfaces, string]>([
    ['the only cellular interface', undefined, {}, ONE, 'wwan0'],
    ['a named interface', 'usb0', {}, ONE, 'usb0'],
    ['the configured link.interface', undefined, { link: { interface: 'ppp0' } }, TWO, 'ppp0'],
    ['the configured listen.address', undefined, { listen: { address: 'usb0' } }, NONE, 'usb0'],
    ['the only one beside a configured address', undefined, { listen: { address: '10.64.3.4' } }, ONE, 'wwan0'],
  ])('is for %s', (_what, named, config, interfaces, expected) => {
    expect(plan(named, config, interfaces).settings.interface).toBe(expected);
  });

  it('is for all configured ports', () => {
    const { settings } = plan('wwan0', { listen: { ports: [7001, { port: 6969, format: 'json' }] } }, ONE);
    expect(settings.ports).toEqual([6969, 7001]);
  });

  it('is refused with what to do when no interface can be chosen, or its name cannot be one', () => {
    expect(codeOf(() => plan(undefined, {}, NONE))).toBe('interface-unknown');
    expect(() => plan(undefined, {}, TWO)).toThrow('several interfaces are cellular: ppp0, wwan0');
    for (const name of ['', 'lo', 'wwan*', 'a"b', 'x'.repeat(16)])
      expect(codeOf(() => plan(name, {}, ONE))).toBe('bad-input');
    expect(codeOf(() => plan(undefined, { link: { interface: 'wwan*' } }, ONE))).toBe('bad-input');
  });

  it('warns of what makes it useless or harmful', () => {
    expect(plan('wwan0', {}, ONE).warnings).toEqual([]);
    expect(plan('wwan7', {}, ONE).warnings).toEqual([expect.stringMatching(/^wwan7 does not exist now/)]);
    expect(plan('usb0', {}, NONE).warnings).toEqual([expect.stringContaining('set `link.interface: usb0`')]);
    expect(plan('wwan0', { link: { interface: 'ppp0' } }, TWO).warnings).toEqual([
      expect.stringMatching(/^the configuration has ppp0: /),
    ]);
    const modem: ConfigInput = { link: { policy: 'modem' }, modem: { path: '/dev/ttyUSB2' } };
    expect(plan('wwan0', modem, ONE).warnings).toEqual([expect.stringContaining('only the modem')]);
  });

  it('is printed with the whole file and all programs', () => {
    const made = plan('wwan0', {}, ONE);
    const text = formatPlan(made);
    expect(text).toContain(made.rules);
    expect(text).toMatch(/systemctl enable supersim-agent-interface\.service\n {2}systemctl reload-or-restart /);
    expect(formatUndo()).toMatch(/systemctl disable --now supersim-agent-interface\.service/);
  });
});
