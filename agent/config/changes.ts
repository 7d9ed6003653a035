import { isRecord } from '../../shared/format/value.js';
import type { Config } from './schema.js';

/** Differences between two configurations. Settings are named as in the documentation: `limits.running`. */
export interface Changes {
  /** Changed settings that a reload applies. */
  readonly changed: readonly string[];
  /** Changed settings that need a restart. */
  readonly needsRestart: readonly string[];
}

/** Sections and settings that are read only at the start. */
const NEEDS_RESTART = ['device.id', 'listen', 'gateway', 'state', 'journal', 'outbox', 'control', 'metrics'];

/** Compares a new configuration with the current one. */
export function compareConfigs(current: Config, next: Config): Changes {
  const all = differences(current, next, []);
  return { changed: all.filter((name) => !isReadAtStart(name)), needsRestart: all.filter(isReadAtStart) };
}

const isReadAtStart = (name: string): boolean =>
  NEEDS_RESTART.some((setting) => name === setting || name.startsWith(`${setting}.`));

/** Returns the new configuration with the current values of the settings that need a restart. */
export const withoutRestart = (current: Config, next: Config): Config => {
  const { device, listen, gateway, state, journal, outbox, control, metrics } = current;
  const kept = { listen, gateway, state, journal, outbox, control, metrics };
  return { ...next, ...kept, device: { ...next.device, id: device.id } };
};

/** Returns whether two settings are equal; an undefined member counts as absent. */
export const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Names differing settings down to `section.setting` or `handlers.name`; deeper values are compared as a whole. */
function differences(before: unknown, after: unknown, path: readonly string[]): string[] {
  if (path.length < 2 && isRecord(before) && isRecord(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => differences(before[key], after[key], [...path, key]));
  }
  return isSame(before, after) ? [] : [path.join('.')];
}
