import { describe, expect, it } from 'vitest';
import { DIRECT, GATEWAY, parametersOf } from '../../../shared/coap/parameters.js';

describe('the parameters of a message exchange', () => {
  it('are those of RFC 7252, tables 2 and 3, for a peer on the network', () => {
    expect(DIRECT).toEqual({
      ackTimeout: 2000,
      ackRandomFactor: 1.5,
      maxRetransmit: 4,
      maxLatency: 100_000,
      processingDelay: 2000,
      maxTransmitSpan: 45_000,
      maxTransmitWait: 93_000,
      maxRtt: 202_000,
      exchangeLifetime: 247_000,
      nonLifetime: 145_000,
    });
  });

  it('are chosen for few and slow messages through the gateway, the rest by the same formulas', () => {
    expect(GATEWAY).toMatchObject({ ackTimeout: 30_000, maxRetransmit: 2, ackRandomFactor: 1.5, maxLatency: 100_000 });
    const { ackTimeout, maxLatency, processingDelay } = GATEWAY;
    // Sent at 0, at most 45 and at most 135 s, and given up 180 s later.
    expect(GATEWAY.maxTransmitSpan).toBe((ackTimeout + 2 * ackTimeout) * 1.5);
    expect(GATEWAY.maxTransmitWait).toBe((ackTimeout + 2 * ackTimeout + 4 * ackTimeout) * 1.5);
    expect(GATEWAY.maxRtt).toBe(2 * maxLatency + processingDelay);
    expect(GATEWAY.exchangeLifetime).toBe(135_000 + GATEWAY.maxRtt);
    expect(GATEWAY.nonLifetime).toBe(135_000 + maxLatency);
  });

  it('are the gateway’s for the peer of that name only', () => {
    expect(parametersOf('gateway')).toBe(GATEWAY);
    expect(parametersOf('192.0.2.1:5683')).toBe(DIRECT);
    expect(parametersOf('[2001:db8::1]:5683')).toBe(DIRECT);
  });
});
