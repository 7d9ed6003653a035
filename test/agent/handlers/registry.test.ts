import { describe, expect, expectTypeOf, it } from 'vitest';
import * as z from 'zod';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { addHandler, compileHandler, type Registry } from '../../../agent/handlers/registry.js';

const named = (name: string) => compileHandler({ name, description: '', run: () => undefined });
const invalid = expect.objectContaining({ code: 'handler-invalid' });

describe('addHandler', () => {
  it.each(['ping', 'relay.set', 'a', 'a.1', 'A-b_c.d-e', `a${'b'.repeat(63)}`])('accepts the name %s', (name) => {
    const registry: Registry = new Map();
    addHandler(registry, named(name));
    expect([...registry.keys()]).toEqual([name]);
  });

  it.each(['ok', 'error', '', '1a', '.a', 'a.', 'a..b', 'a b', 'a/b', 'ä', '__proto__', '#a', `a${'b'.repeat(64)}`])(
    'refuses the name %j',
    (name) => {
      const registry: Registry = new Map();
      expect(() => addHandler(registry, named(name))).toThrow(invalid);
      expect(registry.size).toBe(0);
    },
  );

  it('refuses a duplicate name and keeps the first handler', () => {
    const registry: Registry = new Map();
    const first = named('a');
    addHandler(registry, first);
    expect(() => addHandler(registry, named('a'))).toThrow(invalid);
    expect(registry.get('a')).toBe(first);
  });
});

describe('compileHandler', () => {
  it('defaults to not safe, not idempotent and 30 s', () => {
    expect(named('a')).toMatchObject({ safe: false, idempotent: false, timeoutMs: 30_000 });
  });

  it('makes a safe handler idempotent', () => {
    const define = (promises: object) => compileHandler({ name: 'a', description: '', run: () => 1, ...promises });
    expect(define({ safe: true })).toMatchObject({ safe: true, idempotent: true });
    expect(define({ idempotent: true })).toMatchObject({ safe: false, idempotent: true });
  });

  it('refuses an invalid timeout', () => {
    const timeout: string = 'soon';
    const definition = Object.assign({ name: 'a', description: '', run: () => 1 }, { timeout });
    expect(() => compileHandler(JSON.parse(JSON.stringify(definition)))).toThrow();
    expect(compileHandler({ name: 'a', description: '', timeout: '500ms', run: () => 1 }).timeoutMs).toBe(500);
  });

  it('keeps this in run', () => {
    const counter = {
      name: 'count',
      description: '',
      total: 0,
      run() {
        this.total++;
        return this.total;
      },
    };
    const handler = compileHandler(counter);
    const { run } = handler;
    const context = Object.create(null);
    run({}, context);
    expect(run({}, context)).toBe(2);
  });

  it('types the parameters by the schema', () => {
    const handler = defineHandler({
      name: 'relay.set',
      description: 'Switches a relay',
      params: z.object({ channel: z.number(), on: z.boolean().default(true), label: z.string().optional() }),
      run(params, context) {
        expectTypeOf(params).toEqualTypeOf<{ channel: number; on: boolean; label?: string | undefined }>();
        expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
        return params.channel;
      },
    });
    expect(handler.name).toBe('relay.set');
  });
});
