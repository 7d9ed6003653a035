import { readFileSync, statSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';
import type * as z from 'zod';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { isRecord } from '../../shared/format/value.js';
import { keysAt } from './paths.js';
import { readPlain } from './plain-file.js';
import { type Config, configSchema } from './schema.js';
import type { Override, Source } from './source.js';
import { CONFIG_VARIABLE, readVariables } from './variables.js';

/** Read if it exists and no other file is named. */
export const DEFAULT_CONFIG_FILE = '/etc/supersim-agent/config.yaml';
const MAX_CONFIG_BYTES = 1_048_576;

/**
 * Loads the configuration file, overridden by `SUPERSIM_AGENT_*` variables, overridden by flags.
 *
 * @param file the file named by a flag; default: SUPERSIM_AGENT_CONFIG, then {@link DEFAULT_CONFIG_FILE} if it exists
 * @throws (rejects) SupersimError `config-unreadable` or `config-invalid`, with file, line and column
 */
export async function loadConfig(
  file: string | undefined,
  flags: readonly Override[],
  environment: NodeJS.ProcessEnv,
): Promise<Config> {
  const { name, text } = readText(file ?? (environment[CONFIG_VARIABLE] || undefined));
  const overrides = [...(await readVariables(environment)), ...flags];
  const plain = readPlain(text);
  const parsed = plain === undefined ? undefined : check(plain, overrides);
  if (parsed?.success) return parsed.data;
  // The YAML parser also knows the place of each mistake.
  const { parseYaml } = await import('./source.js');
  return parseConfig(parseYaml(name, text), overrides);
}

function readText(named: string | undefined): { name: string; text: string } {
  const path = named ?? DEFAULT_CONFIG_FILE;
  try {
    if (statSync(path).size > MAX_CONFIG_BYTES) throw new RangeError(`longer than ${MAX_CONFIG_BYTES} bytes`);
    return { name: path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (named === undefined && systemCodeOf(error) === 'ENOENT')
      return { name: 'the built-in configuration', text: '' };
    const message = `cannot read ${path}: ${messageOf(error)}`;
    const isForbidden = systemCodeOf(error) === 'EACCES';
    throw new SupersimError('config-unreadable', message, {
      cause: error,
      ...(isForbidden && { remedy: forbiddenRemedy(path) }),
    });
  }
}

/** For a person who runs a command, and for the agent itself. */
const forbiddenRemedy = (path: string): string =>
  'Run it with sudo: only root and the agent may read the file. ' +
  `If the agent itself cannot read it, run \`sudo chown root:supersim-agent ${path} && sudo chmod 640 ${path}\`.`;

/**
 * Checks a file's settings together with the overrides.
 *
 * @throws SupersimError `config-invalid` with a line for each mistake and its place
 */
export function parseConfig(source: Source, overrides: readonly Override[]): Config {
  const parsed = check(source.settings, overrides);
  if (parsed.success) return parsed.data;
  const findings = parsed.error.issues.flatMap((issue) => explainIssue(issue, source, overrides));
  throw new SupersimError('config-invalid', findings.join('\n'));
}

function check(settings: unknown, overrides: readonly Override[]): z.ZodSafeParseResult<Config> {
  const merged = overrides.reduce<unknown>(
    (under, { path, value }) => withSetting(under, path, value),
    withoutNulls(settings),
  );
  // Compiling the checks does not pay for a single use.
  return configSchema.safeParse(merged, { jitless: true });
}

/** Removes keys without a value, as when all lines below them are comments. */
function withoutNulls(settings: unknown): unknown {
  if (!isRecord(settings)) return settings;
  const given = Object.entries(settings).filter(([, value]) => value !== null);
  return Object.fromEntries(given.map(([key, value]) => [key, withoutNulls(value)]));
}

function withSetting(settings: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const record = isRecord(settings) ? settings : {};
  return { ...record, [key]: withSetting(record[key], rest, value) };
}

/** Returns lines such as `config.yaml:3:5: listen.adress is unknown; did you mean address?` */
function explainIssue(issue: z.core.$ZodIssue, source: Source, overrides: readonly Override[]): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const known = keysAt(issue.path);
      const hint = known.length === 0 ? '' : `; did you mean ${closest(key, known)}?`;
      return `${place(source, overrides, issue.path, key)}: ${[...issue.path, key].join('.')} is unknown${hint}`;
    });
  }
  if (issue.code === 'invalid_union') {
    const nearest = nearestAlternative(issue);
    if (nearest.length > 0) {
      return nearest.flatMap((nested) =>
        explainIssue({ ...nested, path: [...issue.path, ...nested.path] }, source, overrides),
      );
    }
  }
  // The record's own message says only that a key is invalid.
  if (issue.code === 'invalid_key') {
    return issue.issues.flatMap((nested) => explainIssue({ ...nested, path: issue.path }, source, overrides));
  }
  const name = issue.path.length === 0 ? 'the configuration' : issue.path.join('.');
  return [`${place(source, overrides, issue.path)}: ${name}: ${issue.message}`];
}

/** Returns the issues of the union's alternative that matches best: the fewest issues below its top level. */
function nearestAlternative({ errors }: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] {
  const deep = errors
    .map((issues) =>
      issues.filter(({ path, code }) => path.length > 0 || code === 'unrecognized_keys' || code === 'custom'),
    )
    .filter((issues) => issues.length > 0);
  return deep.toSorted((one, other) => one.length - other.length)[0] ?? [];
}

function place(source: Source, overrides: readonly Override[], path: readonly PropertyKey[], key?: string): string {
  const override = overrides.findLast((entry) => entry.path.every((step, index) => path[index] === step));
  if (override !== undefined) return override.from;
  const at = source.at(path, key);
  return at === undefined ? source.name : `${source.name}:${at}`;
}

/** Completes a configuration object of an embedding program. @throws SupersimError `config-invalid` */
export function resolveConfig(input: unknown): Config {
  return parseConfig({ name: 'the configuration', settings: input ?? {}, at: () => undefined }, []);
}

/** Masks secrets: the values of environment variables of programs, and the SIM's PIN. */
export function maskSecrets(config: Config): Config {
  const handlers = Object.entries(config.handlers).map(([name, handler]) => [
    name,
    'socket' in handler
      ? handler
      : { ...handler, environment: handler.environment.map((entry) => entry.replace(/=.*$/s, '=***')) },
  ]);
  const pin = config.modem.pin && '***';
  return { ...config, modem: { ...config.modem, pin }, handlers: Object.fromEntries(handlers) };
}
