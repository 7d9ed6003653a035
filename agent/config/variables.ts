import { closest } from 'fastest-levenshtein';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { listSettings } from './paths.js';
import type { Override } from './source.js';

const PREFIX = 'SUPERSIM_AGENT_';
/** Names the configuration file; not a setting. */
export const CONFIG_VARIABLE = `${PREFIX}CONFIG`;

/** Converts `['listen', 'receiveBufferBytes']` to `SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES`. */
export const variableName = (path: readonly string[]): string =>
  PREFIX + path.map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()).join('_');

/**
 * Reads settings from environment variables. Values are YAML, so that `[6969, 7000]` is a list; values of string settings
 * are taken literally, as a device may be called 007. Empty variables are ignored.
 *
 * @throws (rejects) SupersimError `config-invalid` for a variable that names no setting
 */
export async function readVariables(environment: NodeJS.ProcessEnv): Promise<Override[]> {
  const given = Object.keys(environment).filter(
    (name) => name.startsWith(PREFIX) && name !== CONFIG_VARIABLE && environment[name] !== '',
  );
  if (given.length === 0) return [];
  const { parseYamlValue } = await import('./source.js');
  const known = new Map(listSettings().map((setting) => [variableName(setting.path), setting]));
  return given.map((variable) => {
    const setting = known.get(variable);
    if (setting === undefined) {
      const nearest = closest(variable, [...known.keys()]);
      throw new SupersimError('config-invalid', `unknown variable ${variable}; did you mean ${nearest}?`);
    }
    try {
      const text = environment[variable] ?? '';
      const value: unknown = setting.type === 'string' ? text : asList(parseYamlValue(text), setting.type);
      return { path: setting.path, value, from: variable };
    } catch (error) {
      throw new SupersimError('config-invalid', `the variable ${variable} is not YAML: ${messageOf(error)}`);
    }
  });
}

/** Makes a list of a single value, where the setting is a list. */
const asList = (value: unknown, type: string | undefined): unknown =>
  type === 'array' && !Array.isArray(value) ? [value] : value;
