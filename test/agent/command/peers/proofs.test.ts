import { describe, expect, it } from 'vitest';
import { createProofs, MAX_PROVEN, PROOF_MS } from '../../../../agent/command/peers/proofs.js';
import { ECHO_MS } from '../../../../agent/security/echo.js';

const PEER = '192.0.2.1';
const VICTIM = '192.0.2.2';

/** Proofs with a clock that the test moves. */
function start() {
  const clock = { now: 12_345 };
  return { clock, ...createProofs(() => clock.now) };
}

describe('an address', () => {
  it('is proven by its own Echo value for an hour, and by no other', () => {
    const { clock, has, takeEcho, echoFor } = start();
    takeEcho(VICTIM, echoFor(PEER));
    expect(has(VICTIM)).toBe(false);
    takeEcho(PEER, echoFor(PEER));
    expect(has(PEER)).toBe(true);
    clock.now += PROOF_MS - 1;
    expect(has(PEER)).toBe(true);
    clock.now += 1;
    expect(has(PEER)).toBe(false);
  });

  it('is not proven by an Echo value that is too old, of another run, changed, cut or prolonged', () => {
    const { clock, has, takeEcho, echoFor } = start();
    const echo = echoFor(PEER);
    for (let at = 0; at < echo.length; at++) {
      const changed = Buffer.from(echo);
      changed[at] = (changed[at] ?? 0) ^ 1;
      takeEcho(PEER, changed);
    }
    for (const wrong of [echo.subarray(1), Buffer.concat([echo, echo]), Buffer.alloc(0)]) takeEcho(PEER, wrong);
    takeEcho(PEER, start().echoFor(PEER));
    clock.now += ECHO_MS;
    takeEcho(PEER, echo);
    expect(has(PEER)).toBe(false);
  });

  it('is proven by an Echo value that was returned just in time', () => {
    const { clock, has, takeEcho, echoFor } = start();
    const echo = echoFor(PEER);
    clock.now += ECHO_MS - 1000;
    takeEcho(PEER, echo);
    expect(has(PEER)).toBe(true);
  });
});

describe('the memory', () => {
  it('is bounded: further addresses drive none out, and find a place when one has expired', () => {
    const { clock, add, has } = start();
    add(PEER);
    for (let host = 0; host < 2 * MAX_PROVEN; host++) add(`2001:db8::${host}`);
    expect(has(PEER)).toBe(true);
    expect([MAX_PROVEN - 2, MAX_PROVEN - 1].map((host) => has(`2001:db8::${host}`))).toEqual([true, false]);
    clock.now += PROOF_MS;
    add(VICTIM);
    expect([has(PEER), has(VICTIM)]).toEqual([false, true]);
  });
});
