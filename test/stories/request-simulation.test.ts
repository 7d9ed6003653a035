import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coapConversation } from '../../sender/request/coap.js';
import {
  MAX_POSTS,
  nextTickAt,
  type RequestEffect,
  type RequestInput,
  type RequestState,
  start,
  step,
} from '../../sender/request/outcome-machine.js';
import type { RequestEnding } from '../../sender/request/result.js';
import { GATEWAY } from '../../shared/coap/parameters.js';
import { SEED } from '../support/seed.js';
import { modelDevice } from './request-device.js';

const FAILURE = { code: 'not-delivered', message: 'not attached', vendorCode: 83_401 } as const;

/** What becomes of a datagram: a copy arrives after each of these times. */
const passage = fc.oneof(
  { weight: 6, arbitrary: fc.array(fc.integer({ min: 1, max: 95_000 }), { minLength: 1, maxLength: 2 }) },
  { weight: 3, arbitrary: fc.constant<number[]>([]) },
);
const api = fc.constantFrom('ok', 'ok', 'ok', 'ok', 'refused', 'failed', 'lost', 'sent-but-no-answer');
const world = fc.record({
  passages: fc.array(passage, { minLength: 1, maxLength: 40 }),
  api: fc.array(api, { minLength: 1, maxLength: 20 }),
  paramBytes: fc.constantFrom(0, 10, 512, 513, 1500),
  resultBytes: fc.constantFrom(0, 10, 64, 65, 250),
  takes: fc.constantFrom(0, 0, 1000, 70_000, 1_000_000),
  factor: fc.double({ min: 1, max: 1.5, noNaN: true }),
  abortAt: fc.option(fc.integer({ min: 0, max: 600_000 })),
});

type World = typeof world extends fc.Arbitrary<infer W> ? W : never;

/** A command to the model of a device through a world on a clock of its own. */
function simulate({ passages, api: fates, paramBytes, resultBytes, takes, factor, abortAt }: World) {
  const settings = { parameters: GATEWAY, factor, timeout: 300_000, deadlineAt: Number.POSITIVE_INFINITY };
  const agenda: { at: number; then: () => void }[] = [];
  let now = 0;
  let packets = 0;
  let posts = 0;
  let state: RequestState | undefined;
  const ends: RequestEnding[] = [];
  const repeats = new Map<string, number>();
  const after = (ms: number, then: () => void) => void agenda.push({ at: now + ms, then });
  const carry = (bytes: Buffer, deliver: (bytes: Buffer) => void) => {
    for (const delay of passages[packets++ % passages.length] ?? []) after(delay, () => deliver(bytes));
  };
  const device = modelDevice({
    result: 'r'.repeat(resultBytes),
    block: 64,
    takes,
    after,
    send: (bytes) => carry(bytes, (arriving) => feed({ type: 'received', bytes: arriving })),
  });
  const post = (number: number, bytes: Buffer) => {
    const fate = fates[posts++ % fates.length] ?? 'ok';
    const key = bytes.toString('hex');
    repeats.set(key, (repeats.get(key) ?? 0) + 1);
    if (fate === 'ok' || fate === 'sent-but-no-answer') carry(bytes, device.receive);
    if (fate === 'refused') after(10, () => feed({ type: 'refused', number, failure: FAILURE }));
    else if (fate === 'lost' || fate === 'sent-but-no-answer') after(10, () => feed({ type: 'unknown', number }));
    else after(10, () => feed({ type: 'posted', number, sid: `HG${number}` }));
    if (fate === 'failed') after(20, () => feed({ type: 'failed', sid: `HG${number}`, failure: FAILURE }));
  };
  const perform = (effects: readonly RequestEffect[]) => {
    for (const effect of effects) {
      if (effect.type === 'post') post(effect.number, effect.conversation.bytes);
      if (effect.type === 'end') ends.push(effect.ending);
    }
  };
  const feed = (input: RequestInput) => {
    if (state === undefined) return;
    const next = step(settings, state, input, now);
    state = next.state;
    perform(next.effects);
  };
  const params = paramBytes === 0 ? undefined : new Uint8Array(paramBytes).fill(0x61);
  const command = { name: 'x', params, get: false, deadline: undefined, tag: Buffer.alloc(6, 1), messageId: 65_530 };
  const first = start(settings, coapConversation(command), 0);
  state = first.state;
  perform(first.effects);
  if (abortAt !== null) after(abortAt, () => feed({ type: 'abort' }));
  for (let i = 0; i < 5000; i++) {
    const next = agenda.sort((a, b) => a.at - b.at)[0];
    const wake = nextTickAt(state);
    if (next === undefined && wake === Number.POSITIVE_INFINITY) break;
    if (next === undefined || wake < next.at) {
      now = wake;
      feed({ type: 'tick' });
    } else {
      agenda.shift();
      now = next.at;
      next.then();
    }
  }
  return { ends, device, repeats: Math.max(...repeats.values()), left: agenda.length };
}

describe('a request over a lossy network', () => {
  it('has exactly one outcome, which is true', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(world, (conditions) => {
        const { ends, device, repeats, left } = simulate(conditions);
        expect(left).toBe(0);
        expect(ends).toHaveLength(1);
        const [how] = ends;
        seen.set(how?.outcome ?? '', (seen.get(how?.outcome ?? '') ?? 0) + 1);
        expect(device.runs).toBeLessThanOrEqual(1);
        expect(repeats).toBeLessThanOrEqual(MAX_POSTS);
        if (how?.outcome === 'not-sent') expect(device.runs).toBe(0);
        else if (how !== undefined && 'result' in how) {
          expect(device.runs).toBe(1);
          expect(device.bodies[0]).toEqual(Buffer.alloc(conditions.paramBytes, 0x61));
          const whole = 'r'.repeat(conditions.resultBytes);
          if ('cut' in how) expect(whole.startsWith(String(Object(how.result).head))).toBe(true);
          else expect(how.result).toBe(whole);
        } else expect(how?.outcome).toBe('no-answer');
      }),
      { seed: SEED, numRuns: 1000 },
    );
    expect([...seen.keys()].sort()).toEqual(['done', 'no-answer', 'not-sent']);
  });
});
