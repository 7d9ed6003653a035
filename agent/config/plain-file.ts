import { isRecord } from '../../shared/format/value.js';

/**
 * Parses a configuration file without the YAML parser, whose loading takes a tenth of the agent's start: a file of only
 * comments, like the sample, or one in JSON.
 *
 * @returns undefined for any other text, including invalid ones: the YAML parser explains those
 */
export function readPlain(text: string): unknown {
  if (text.split(/[\r\n]/).every((line) => /^\s*(?:#|$)/.test(line))) return {};
  try {
    const settings: unknown = JSON.parse(text);
    // Differs for duplicate keys: an error in YAML, but JSON.parse takes the last.
    if (isRecord(settings) && JSON.stringify(settings) === withoutWhitespace(text)) return settings;
  } catch {
    // YAML, or invalid.
  }
  return undefined;
}

const withoutWhitespace = (json: string): string => json.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
