import { closest } from 'fastest-levenshtein';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { listSettings } from './paths.js';
import type { Override } from './source.js';

const PREFIX = 'SUPERSIM_AGENT_';
/** Names the file, and is no setting of it. */
export const CONFIG_VARIABLE = `${PREFIX}CONFIG`;

/** `['listen', 'receiveBufferBytes']` as `SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES`. */
export const variableName = (path: readonly string[]): string =>
  PREFIX + path.map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()).join('_');

/**
 * Settings from variables. A value is read as YAML, so that `[6969, 7000]` is a list; but where a string is asked
 * for it is taken as it is, as a device may be called 007. An empty variable is as good as none.
 *
 * @throws SupersimError `config-invalid` for a variable that names no setting
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
      throw new SupersimError('config-invalid', `the variable ${variable} names no setting; did you mean ${nearest}?`);
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

/** One thing where a list is asked for is a list of one. */
const asList = (value: unknown, type: string | undefined): unknown =>
  type === 'array' && !Array.isArray(value) ? [value] : value;
