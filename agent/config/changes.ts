import { isRecord } from '../../shared/format/value.js';
import type { Config } from './schema.js';

/**
 * What a new configuration means for an agent that runs. Settings are named as in the documentation: `limits.running`.
 */
export interface Changes {
  /** Settings that can be taken up at once. */
  readonly changed: readonly string[];
  /** Settings whose new values count from the next start on. */
  readonly needsRestart: readonly string[];
}

/** Sections and settings that an agent uses only when it starts. */
const AT_START = ['device.id', 'listen', 'gateway', 'state', 'journal', 'outbox', 'control', 'metrics'];

/** In what a new configuration differs from the one that is in force. */
export function compareConfigs(inForce: Config, next: Config): Changes {
  const all = differences(inForce, next, []);
  return { changed: all.filter((name) => !isAtStart(name)), needsRestart: all.filter(isAtStart) };
}

const isAtStart = (name: string): boolean =>
  AT_START.some((setting) => name === setting || name.startsWith(`${setting}.`));

/** A new configuration as far as it can be in force before the next start. */
export const withoutRestart = (inForce: Config, next: Config): Config => {
  const { device, listen, gateway, state, journal, outbox, control, metrics } = inForce;
  const kept = { listen, gateway, state, journal, outbox, control, metrics };
  return { ...next, ...kept, device: { ...next.device, id: device.id } };
};

/** Whether two settings mean the same; a member that is undefined is as good as not there. */
export const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Below a section and the setting in it, or the handler, all is compared as one. */
function differences(before: unknown, after: unknown, path: readonly string[]): string[] {
  if (path.length < 2 && isRecord(before) && isRecord(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => differences(before[key], after[key], [...path, key]));
  }
  return isSame(before, after) ? [] : [path.join('.')];
}
