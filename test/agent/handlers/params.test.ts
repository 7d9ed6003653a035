import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { compileHandler } from '../../../agent/handlers/registry.js';
import type { Params } from '../../../shared/command.js';

const relay = z.object({
  channel: z.int(),
  on: z.boolean(),
  mode: z.enum(['hold', 'pulse']).default('hold'),
  label: z.string().optional(),
});

function bind(schema: z.ZodType | undefined, params: Partial<Params>, words = true) {
  const definition = { name: 'tried', description: '', run: () => undefined };
  const handler = compileHandler(schema === undefined ? definition : { ...definition, params: schema });
  return handler.bind({ positional: [], named: {}, ...params }, words);
}

const badParams = { error: { code: 'bad-params', message: expect.any(String) } };

describe('bindSchema', () => {
  it.each([
    ['by position', { positional: ['2', 'on'] }],
    ['by name', { named: { on: 'on', channel: '2' } }],
    ['both ways', { positional: ['2'], named: { on: 'on' } }],
  ])('accepts parameters %s, and sets defaults', (_how, params) => {
    expect(bind(relay, params)).toEqual({ value: { channel: 2, on: true, mode: 'hold' } });
  });

  it('names positional parameters in the schema’s order', () => {
    expect(bind(relay, { positional: ['1', 'off', 'pulse', 'pump'] })).toEqual({
      value: { channel: 1, on: false, mode: 'pulse', label: 'pump' },
    });
  });

  it('refuses too many parameters, duplicate ones, and missing ones', () => {
    expect(bind(relay, { positional: ['1', 'on', 'hold', 'x', 'y'] })).toEqual(badParams);
    expect(bind(relay, { positional: ['1', 'on'], named: { channel: '1' } })).toEqual(badParams);
    expect(bind(relay, { positional: ['1'] })).toEqual(badParams);
    expect(bind(z.object({}), { positional: ['1'] })).toEqual(badParams);
  });

  it('names the invalid parameter', () => {
    expect(bind(relay, { positional: ['1', 'perhaps'] })).toMatchObject({ error: { message: /^on: / } });
    const nested = z.object({ list: z.array(z.number()) });
    expect(bind(nested, { named: { list: [1, 'x'] } }, false)).toMatchObject({ error: { message: /^list\.1: / } });
  });

  it('drops unknown parameters, or refuses them where the schema is strict', () => {
    expect(bind(z.object({}), { named: { unknown: 1 } })).toEqual({ value: {} });
    expect(bind(z.strictObject({}), { named: { unknown: 1 } })).toEqual(badParams);
    expect(bind(z.looseObject({ a: z.number() }), { named: { a: '1', b: '2' } })).toEqual({ value: { a: 1, b: '2' } });
  });

  it('accepts names of members of Object.prototype without side effects', () => {
    const named = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "toString": 2}');
    expect(bind(z.looseObject({}), { named }, false)).not.toHaveProperty('error');
    expect(bind(undefined, { named }, false)).not.toHaveProperty('error');
    expect({}).not.toHaveProperty('polluted');
  });

  it('passes parameters on unchanged without a schema, positional ones as args', () => {
    expect(bind(undefined, { named: { a: '1' } })).toEqual({ value: { a: '1' } });
    expect(bind(undefined, { positional: ['x'], named: { a: '1' } })).toEqual({ value: { a: '1', args: ['x'] } });
  });
});

describe('bindSchema for words of a text command', () => {
  it.each<[string, z.ZodType, string, unknown]>([
    ['a number', z.number(), '1.5', 1.5],
    ['a negative number', z.number(), '-3', -3],
    ['a hexadecimal number', z.int(), '0x10', 16],
    ['an optional number', z.number().optional(), '2', 2],
    ['a number with a default', z.number().default(7), '2', 2],
    ['a number or null', z.number().nullable(), '2', 2],
    ['a number with limits', z.int().min(1).max(8), '8', 8],
    ['a literal number', z.literal(5), '5', 5],
    ['true', z.boolean(), 'true', true],
    ['yes', z.boolean().optional(), 'yes', true],
    ['1 as a boolean', z.boolean(), '1', true],
    ['off', z.boolean().default(true), 'off', false],
    ['no', z.boolean(), 'no', false],
    ['a list', z.array(z.number()), '[1, 2]', [1, 2]],
    ['a tuple', z.tuple([z.string(), z.number()]), '["a", 2]', ['a', 2]],
    ['an object', z.object({ a: z.number() }), '{"a": 1}', { a: 1 }],
    ['a choice', z.enum(['a', 'b']), 'b', 'b'],
    ['a string of digits', z.string(), '007', '007'],
    ['a string that looks like a boolean', z.string(), 'true', 'true'],
    ['an empty string', z.string(), '', ''],
    ['either a number or a string', z.union([z.number(), z.string()]), '5', '5'],
  ])('converts them to the type of the schema: %s', (_what, schema, word, value) => {
    expect(bind(z.object({ it: schema }), { named: { it: word } })).toEqual({ value: { it: value } });
  });

  it.each<[string, z.ZodType, string]>([
    ['no number', z.number(), 'three'],
    ['an empty number', z.number(), ''],
    ['an endless number', z.number(), 'Infinity'],
    ['a broken integer', z.int(), '1.5'],
    ['no boolean', z.boolean(), 'TRUE!'],
    ['half a list', z.array(z.number()), '[1,'],
    ['a choice that is not there', z.enum(['a', 'b']), 'c'],
  ])('refuses words that do not convert: %s', (_what, schema, word) => {
    expect(bind(z.object({ it: schema }), { named: { it: word } })).toEqual(badParams);
  });

  it('does not convert strings of JSON and CBOR', () => {
    expect(bind(relay, { named: { channel: '2', on: true } }, false)).toEqual(badParams);
    expect(bind(relay, { named: { channel: 2, on: 'on' } }, false)).toEqual(badParams);
    expect(bind(relay, { named: { channel: 2, on: true } }, false)).not.toHaveProperty('error');
  });
});

describe('a handler’s own refinements', () => {
  it('answer with their message', () => {
    const even = z.object({ n: z.number().refine((n) => n % 2 === 0, 'must be even') });
    expect(bind(even, { positional: ['3'] })).toEqual({ error: { code: 'bad-params', message: 'n: must be even' } });
    const pair = z.object({ a: z.number(), b: z.number() }).refine(({ a, b }) => a < b, 'a must be below b');
    expect(bind(pair, { positional: ['3', '1'] })).toEqual({
      error: { code: 'bad-params', message: 'a must be below b' },
    });
  });

  it.each([
    [
      'throw',
      () => {
        throw new Error('oops');
      },
    ],
    [
      'throw nothing that is an error',
      () => {
        throw undefined;
      },
    ],
    ['are asynchronous', async () => true],
  ])('that %s make only the command fail', (_how, check) => {
    const schema = z.object({ n: z.number().refine(check) });
    expect(bind(schema, { positional: ['3'] })).toMatchObject({ error: { code: 'handler-failed' } });
  });

  it('may transform the parameters', () => {
    const upper = z.object({ a: z.string().transform((text) => text.toUpperCase()) });
    expect(bind(upper, { positional: ['x'] })).toEqual({ value: { a: 'X' } });
  });
});

describe('a handler’s schema', () => {
  it('gives the usage of the parameters', () => {
    const schema = relay.extend({ list: z.array(z.string()), when: z.union([z.number(), z.string()]) });
    const { usage } = compileHandler({ name: 'tried', description: '', params: schema, run: () => undefined });
    expect(usage).toBe('channel:integer on:boolean [mode:string] [label:string] list:array when:any');
  });

  it.each<[string, z.ZodType]>([
    ['a string', z.string()],
    ['a choice of objects', z.union([z.object({ a: z.string() }), z.object({ b: z.string() })])],
    ['a list', z.array(z.string())],
  ])('that is not an object is refused: %s', (_what, params) => {
    expect(() => compileHandler({ name: 'tried', description: '', params, run: () => undefined })).toThrow(
      expect.objectContaining({ code: 'handler-invalid' }),
    );
  });
});
