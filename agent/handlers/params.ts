import * as z from 'zod';
import type { Params } from '../../shared/command.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import type { Handler } from './handler.js';

/** A member of a handler's parameters. */
interface Member {
  readonly name: string;
  /** Its JSON type, where it has exactly one. */
  readonly type: string | undefined;
  readonly required: boolean;
}

/** Passes parameters on unchecked: named ones by name, positional ones as `args`. */
export const bindAny: Handler['bind'] = ({ named, positional }) => ({
  value: positional.length === 0 ? named : { ...named, args: positional },
});

/**
 * Makes the parameter check of a handler from its schema.
 *
 * @throws SupersimError `handler-invalid` when the schema is not a `z.object` of zod 4
 */
export function bindSchema(name: string, schema: z.ZodType): Pick<Handler, 'bind' | 'usage'> {
  const members = readMembers(name, schema);
  return {
    usage: members.map(writeUsage).join(' '),
    bind(params, words) {
      if (members.length === 0 && params.positional.length === 0) return check(schema, params.named);
      const merged = nameParams(params, members);
      if (typeof merged === 'string') return badParams(merged);
      return check(schema, words ? convertWords(merged, members) : merged);
    },
  };
}

function check(schema: z.ZodType, params: unknown): ReturnType<Handler['bind']> {
  try {
    const parsed = schema.safeParse(params);
    if (parsed.success) return { value: parsed.data };
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
    return badParams(`${where}${issue?.message ?? 'invalid'}`);
  } catch (error) {
    // The author's refinements and transforms run inside.
    return { error: { code: 'handler-failed', message: `the check of its params failed: ${messageOf(error)}` } };
  }
}

const badParams = (message: string) => ({ error: { code: 'bad-params' as const, message } });

function readMembers(name: string, schema: z.ZodType): Member[] {
  // Most built-in handlers have no parameters; the first conversion to JSON Schema is slow.
  if (schema instanceof z.ZodObject && Object.keys(schema.shape).length === 0) return [];
  try {
    const { type, properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
    if (type !== 'object') throw new TypeError(`their type is ${type ?? 'any'}`);
    return Object.entries(properties).map(([member, its]) => ({
      name: member,
      type: typeof its === 'object' ? onlyType(its.type) : undefined,
      required: required.includes(member),
    }));
  } catch (error) {
    throw new SupersimError(
      'handler-invalid',
      `the params of the handler ${name} are not a z.object of zod 4: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Handles `nullable`, which makes a list: `["number", "null"]`. */
function onlyType(type: string | readonly string[] = []): string | undefined {
  const [first, ...others] = [type].flat().filter((one) => one !== 'null');
  return others.length === 0 ? first : undefined;
}

function writeUsage({ name, type, required }: Member): string {
  const written = `${name}:${type ?? 'any'}`;
  return required ? written : `[${written}]`;
}

/** Names positional parameters in the schema's order; returns a message where that fails. */
function nameParams({ positional, named }: Params, members: readonly Member[]): Record<string, unknown> | string {
  if (positional.length > members.length) {
    return members.length === 0 ? 'it accepts no parameters' : `it accepts at most ${members.length} parameters`;
  }
  const twice = members.slice(0, positional.length).find((member) => Object.hasOwn(named, member.name));
  if (twice !== undefined) return `${twice.name} is given by position and by name`;
  return { ...named, ...Object.fromEntries(positional.map((value, index) => [members[index]?.name, value])) };
}

/** Converts words to the types of the schema; a word that does not convert is left for the schema to reject. */
function convertWords(params: Record<string, unknown>, members: readonly Member[]): Record<string, unknown> {
  const types = new Map(members.map(({ name, type }) => [name, type]));
  return Object.fromEntries(Object.entries(params).map(([name, word]) => [name, convertWord(word, types.get(name))]));
}

const TRUE = ['true', 'on', 'yes', '1'];
const FALSE = ['false', 'off', 'no', '0'];

function convertWord(word: unknown, type: string | undefined): unknown {
  if (typeof word !== 'string') return word;
  if (type === 'number' || type === 'integer')
    return word.trim() === '' || Number.isNaN(Number(word)) ? word : Number(word);
  if (type === 'boolean') return TRUE.includes(word) ? true : FALSE.includes(word) ? false : word;
  if (type === 'array' || type === 'object') {
    try {
      return JSON.parse(word);
    } catch {
      return word;
    }
  }
  return word;
}
