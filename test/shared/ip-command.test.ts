import { describe, expect, it } from 'vitest';
import { ipCommandSchema, payloadBytes } from '../../shared/ip-command.js';
import { MAX_PAYLOAD_BYTES, SAFE_BINARY_BYTES } from '../../shared/limits.js';

const RESOURCE = {
  sid: `HG${'0'.repeat(32)}`,
  account_sid: `AC${'1'.repeat(32)}`,
  sim_sid: `HS${'a'.repeat(32)}`,
  sim_iccid: '89883070000123456789',
  status: 'queued',
  direction: 'to_sim',
  device_ip: null,
  device_port: 6969,
  payload_type: 'text',
  payload: 'ping',
  date_created: '2026-01-02T03:04:05Z',
  date_updated: '2026-01-02T03:04:05Z',
  url: 'https://supersim.twilio.com/v1/IpCommands/HG0',
};

const accepts = (change: Record<string, unknown>) => ipCommandSchema.safeParse({ ...RESOURCE, ...change }).success;

describe('an IP Command', () => {
  it('has thirteen members, and none of them may be missing', () => {
    expect(Object.keys(ipCommandSchema.shape).sort()).toEqual(Object.keys(RESOURCE).sort());
    expect(accepts({})).toBe(true);
    for (const member of Object.keys(RESOURCE)) expect(accepts({ [member]: undefined }), member).toBe(false);
  });

  it('accepts members that the vendor adds later', () => {
    expect(accepts({ carrier: 'x' })).toBe(true);
  });

  it('has no address before it is sent, and perhaps no ICCID', () => {
    expect(accepts({ device_ip: '100.64.1.2', status: 'sent' })).toBe(true);
    expect(accepts({ sim_iccid: null })).toBe(true);
  });

  it.each([
    [{ sid: `HS${'0'.repeat(32)}` }],
    [{ sid: `HG${'0'.repeat(31)}` }],
    [{ sid: `xHG${'0'.repeat(32)}` }],
    [{ sim_sid: `HS${'g'.repeat(32)}` }],
    [{ status: 'delivered' }],
    [{ direction: 'to-sim' }],
    [{ payload_type: 'json' }],
    [{ device_port: '6969' }],
    [{ device_port: 1.5 }],
    [{ date_created: 'yesterday' }],
  ])('is invalid with %j', (change) => {
    expect(accepts(change)).toBe(false);
  });

  it('carries text as UTF-8 and binary as Base64', () => {
    expect(payloadBytes({ payload: 'aGk=', payload_type: 'text' }).toString()).toBe('aGk=');
    expect(payloadBytes({ payload: 'grün', payload_type: 'text' })).toHaveLength(5);
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    expect(payloadBytes({ payload: all.toString('base64'), payload_type: 'binary' })).toEqual(all);
  });
});

describe('the safe size of a binary payload', () => {
  it('is the largest whose Base64 is within the limit', () => {
    const written = (bytes: number) => Buffer.alloc(bytes).toString('base64').length;
    expect(written(SAFE_BINARY_BYTES)).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
    expect(written(SAFE_BINARY_BYTES + 1)).toBeGreaterThan(MAX_PAYLOAD_BYTES);
  });
});
