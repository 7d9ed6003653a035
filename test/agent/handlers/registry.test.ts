import { describe, expect, expectTypeOf, it } from 'vitest';
import * as z from 'zod';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { addHandler, compileHandler, type Registry } from '../../../agent/handlers/registry.js';

const named = (name: string) => compileHandler({ name, description: '', run: () => undefined });
const invalid = expect.objectContaining({ code: 'handler-invalid' });

describe('a registry', () => {
  it.each(['ping', 'relay.set', 'a', 'a.1', 'A-b_c.d-e', `a${'b'.repeat(63)}`])('takes the name %s', (name) => {
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

  it('refuses a second handler with the same name, and keeps the first', () => {
    const registry: Registry = new Map();
    const first = named('a');
    addHandler(registry, first);
    expect(() => addHandler(registry, named('a'))).toThrow(invalid);
    expect(registry.get('a')).toBe(first);
  });
});

describe('a handler’s definition', () => {
  it('is not safe, not idempotent and has 30 s unless it says otherwise', () => {
    expect(named('a')).toMatchObject({ safe: false, idempotent: false, timeoutMs: 30_000 });
  });

  it('is idempotent when it is safe', () => {
    const define = (promises: object) => compileHandler({ name: 'a', description: '', run: () => 1, ...promises });
    expect(define({ safe: true })).toMatchObject({ safe: true, idempotent: true });
    expect(define({ idempotent: true })).toMatchObject({ safe: false, idempotent: true });
  });

  it('is refused with a timeout that is no duration', () => {
    const timeout: string = 'soon';
    const definition = Object.assign({ name: 'a', description: '', run: () => 1 }, { timeout });
    expect(() => compileHandler(JSON.parse(JSON.stringify(definition)))).toThrow();
    expect(compileHandler({ name: 'a', description: '', timeout: '500ms', run: () => 1 }).timeoutMs).toBe(500);
  });

  it('may be an object whose run uses its other members', () => {
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

  it('types the parameters by its schema', () => {
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
