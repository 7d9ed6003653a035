import { describe, expect, it } from 'vitest';
import {
  ERRORS,
  type ErrorEntry,
  isSupersimError,
  messageOf,
  SupersimError,
  systemCodeOf,
} from '../../shared/errors.js';
import { OUTCOMES } from '../../shared/outcome.js';

const entries: [string, ErrorEntry][] = Object.entries(ERRORS);
const onTheWire = entries.flatMap(([code, { wire }]) => (wire === undefined ? [] : [{ code, ...wire }]));

describe('the list of error codes', () => {
  it('has a meaning and a remedy for each code', () => {
    for (const [code, { meaning, remedy }] of entries) {
      expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(meaning, code).toMatch(/\.$/);
      expect(remedy, code).toMatch(/\.$/);
    }
  });

  it('has a distinct JSON-RPC code for each code on the wire', () => {
    const codes = onTheWire.map(({ jsonRpc }) => jsonRpc);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it('uses the standard’s own JSON-RPC codes for what the standard has, and its range for servers for the rest', () => {
    expect(ERRORS['parse-error'].wire.jsonRpc).toBe(-32700);
    expect(ERRORS['invalid-request'].wire.jsonRpc).toBe(-32600);
    expect(ERRORS['unknown-command'].wire.jsonRpc).toBe(-32601);
    expect(ERRORS['bad-params'].wire.jsonRpc).toBe(-32602);
    expect(ERRORS['internal-error'].wire.jsonRpc).toBe(-32603);
    const ours = onTheWire.map(({ jsonRpc }) => jsonRpc).filter((code) => code > -32600);
    expect(ours.every((code) => code >= -32099 && code <= -32000)).toBe(true);
  });

  it('has a CoAP error code and an outcome other than done for each code on the wire', () => {
    for (const { code, coap, outcome } of onTheWire) {
      expect(coap, code).toMatch(/^[45]\.\d\d$/);
      expect([...OUTCOMES, 'accepted']).toContain(outcome);
      expect(outcome, code).not.toBe('done');
    }
  });
});

describe('SupersimError', () => {
  it('has its code’s remedy, or its own', () => {
    expect(new SupersimError('busy', 'x').remedy).toBe(ERRORS.busy.remedy);
    expect(new SupersimError('busy', 'x', { remedy: 'wait' }).remedy).toBe('wait');
  });

  it('is told apart from other errors, and by its code', () => {
    const error = new SupersimError('busy', 'x', { cause: 'y' });
    expect(error.cause).toBe('y');
    expect([isSupersimError(error), isSupersimError(error, 'busy'), isSupersimError(error, 'bad-input')]).toEqual([
      true,
      true,
      false,
    ]);
    expect([new Error('x'), null, { code: 'busy' }].some((other) => isSupersimError(other))).toBe(false);
  });
});

describe('messageOf', () => {
  const unprintable = {
    toString() {
      throw new Error('no');
    },
  };
  const silent = new Error('x');
  Object.defineProperty(silent, 'message', {
    get() {
      throw new Error('no');
    },
  });

  it.each<[string, unknown, string]>([
    ['an error', new Error('x'), 'x'],
    ['an error without a message', new TypeError(), 'TypeError'],
    ['a string', 'x', 'x'],
    ['nothing', undefined, 'undefined'],
    ['a symbol', Symbol('x'), 'Symbol(x)'],
    ['an object without a prototype', Object.create(null), 'an unprintable value was thrown'],
    ['what cannot be printed', unprintable, 'an unprintable value was thrown'],
    ['an error whose message is a number', Object.assign(new Error(), { message: 42 }), '42'],
    ['an error whose message throws', silent, 'an unprintable value was thrown'],
  ])('is a string for %s', (_what, thrown, message) => {
    expect(messageOf(thrown)).toBe(message);
  });
});

describe('systemCodeOf', () => {
  it('returns the code where there is one', () => {
    expect(systemCodeOf(Object.assign(new Error('x'), { code: 'EACCES' }))).toBe('EACCES');
    for (const other of [new Error('x'), Object.assign(new Error('x'), { code: 5 }), { code: 'EACCES' }, null]) {
      expect(systemCodeOf(other)).toBe(undefined);
    }
  });
});
