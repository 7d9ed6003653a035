import { readFileSync, statSync } from 'node:fs';
import { LOADED_FILE, parseRuleset, RULES_UNIT, type RuleSettings } from './ruleset.js';

/**
 * Whether only the cellular interface reaches the device ports. Without CAP_NET_ADMIN the agent cannot read the
 * packet filter: it knows which rules the unit has loaded, and whether a datagram from this host arrives.
 */
export type Enforcement = 'enforced' | 'not-enforced' | 'unknown';

export interface InterfaceStatus {
  readonly enforcement: Enforcement;
  /** Why, and what to do, in one line. */
  readonly reason: string;
  /** The interface of the rules that were loaded last. */
  readonly interface?: string | undefined;
  /** When they were loaded, in Unix milliseconds. */
  readonly loaded?: number | undefined;
}

/** What the unit has loaded since the boot. */
export interface LoadedRules {
  /** Undefined when the rules are not as `supersim-agent secure` writes them. */
  readonly settings: RuleSettings | undefined;
  /** Unix milliseconds. */
  readonly at: number;
}

export interface EnforcementFacts {
  /** Undefined when the unit has loaded no rules since the boot. */
  readonly rules: LoadedRules | undefined;
  /** The configured device ports. */
  readonly ports: readonly number[];
  /** The interface that the agent listens on, where it is known. */
  readonly listens: string | undefined;
  /** Whether a datagram from this host to the device ports arrived at the last test; undefined where it is not known. */
  readonly ownArrives: boolean | undefined;
}

/** Reads which rules the unit has loaded. Every user may. */
export function readLoadedRules(file = LOADED_FILE): LoadedRules | undefined {
  try {
    return { settings: parseRuleset(readFileSync(file, 'utf8')), at: statSync(file).mtimeMs };
  } catch {
    return undefined;
  }
}

/**
 * Makes a function that returns the loaded rules, and when they changed, in Unix milliseconds: what was known of the
 * packet filter before counts no more.
 */
export function createRulesWatch(read: () => LoadedRules | undefined = readLoadedRules, now: () => number = Date.now) {
  let before: number | undefined;
  let changed = 0;
  return (): { rules: LoadedRules | undefined; changed: number } => {
    const rules = read();
    if (rules?.at !== before) {
      before = rules?.at;
      changed = rules?.at ?? now();
    }
    return { rules, changed };
  };
}

/**
 * Tells whether the interface is enforced.
 *
 * | rules loaded | own datagram | |
 * |---|---|---|
 * | | arrives | not enforced |
 * | for these ports and this interface | is dropped | enforced |
 * | for other ports or another interface | is dropped | not enforced |
 * | none | is dropped | unknown: something else drops it |
 * | | could not be tested | unknown |
 */
export function judgeEnforcement({ rules, ports, listens, ownArrives }: EnforcementFacts): InterfaceStatus {
  const settings = rules?.settings;
  const known = { interface: settings?.interface, loaded: rules?.at };
  const name = listens ?? settings?.interface;
  const secure = `run \`sudo supersim-agent secure${name === undefined ? '' : ` --interface ${name}`}\``;
  const say = (enforcement: Enforcement, reason: string): InterfaceStatus => ({ enforcement, reason, ...known });
  if (ownArrives === true) {
    if (rules === undefined)
      return say('not-enforced', `every user and network of this host reaches the ports; ${secure}`);
    const again = `run \`sudo systemctl reload-or-restart ${RULES_UNIT}\``;
    if (mismatch(settings, ports, listens) === undefined)
      return say('not-enforced', `the rules were loaded, but are gone: a datagram from this host arrives; ${again}`);
  }
  const differs = rules === undefined ? undefined : mismatch(settings, ports, listens);
  if (differs !== undefined) return say('not-enforced', `${differs}; ${secure}`);
  if (ownArrives === undefined)
    return say(
      'unknown',
      rules === undefined ? `no rules were loaded; ${secure}` : 'rules were loaded, but not tested yet',
    );
  if (rules === undefined)
    return say('unknown', 'other rules drop datagrams from this host; `sudo supersim-agent doctor` reads them');
  return say('enforced', 'a datagram from this host was dropped');
}

/** Returns how the rules differ from the configuration; undefined when they fit. */
function mismatch(
  settings: RuleSettings | undefined,
  ports: readonly number[],
  listens: string | undefined,
): string | undefined {
  if (settings === undefined) return 'the loaded rules are not those of `supersim-agent secure`';
  const missing = ports.filter((port) => !settings.ports.includes(port));
  if (missing.length > 0) return `the rules do not cover port ${missing.join(', ')}`;
  if (listens !== undefined && listens !== settings.interface)
    return `the rules are for ${settings.interface}, and the agent listens on ${listens}`;
  return undefined;
}

/** Formats it in one line, for `status`. */
export function describeEnforcement({ enforcement, reason, interface: name, loaded }: InterfaceStatus): string {
  const what = enforcement === 'not-enforced' ? 'not enforced' : enforcement;
  const rules =
    name === undefined || loaded === undefined ? '' : `, rules for ${name} of ${new Date(loaded).toISOString()}`;
  return `${what}${rules}: ${reason}`;
}
