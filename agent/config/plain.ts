import { isRecord } from '../../shared/format/value.js';

/**
 * Reads a configuration file without the YAML parser, to load which takes a tenth of the agent's start: one in which
 * nothing is set, as in the sample, and one written as JSON.
 *
 * @returns undefined for every other text, wrong ones among them: the parser explains those
 */
export function readPlain(text: string): unknown {
  if (text.split(/[\r\n]/).every((line) => /^\s*(?:#|$)/.test(line))) return {};
  try {
    const settings: unknown = JSON.parse(text);
    // Not so when a key is there twice, which is an error in YAML; JSON.parse takes the last.
    if (isRecord(settings) && JSON.stringify(settings) === withoutLayout(text)) return settings;
  } catch {
    // Then it is YAML, or nothing.
  }
  return undefined;
}

const withoutLayout = (json: string): string => json.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
