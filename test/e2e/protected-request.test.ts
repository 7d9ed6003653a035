import { describe, expect, it } from 'vitest';
import type { Loopback } from '../../loopback/index.js';
import { IpCommandClient } from '../../sender/api/client.js';
import { pollingReplies } from '../../sender/replies/polling.js';
import type { RequestProtection } from '../../sender/request/protection.js';
import { createRequester } from '../../sender/request/request.js';
import type { RequestProgress } from '../../sender/request/run-request.js';
import { openSecurity } from '../../sender/security/security.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { makeOperatorKeys } from '../support/operator-keys.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';

/** A SIM whose device has a key, and the sender that has it too. */
async function startKeyed({ withSender = true } = {}) {
  const loopback = await startTestLoopback();
  const [sim] = loopback.sims;
  if (sim === undefined) throw new Error('the loopback has no SIM');
  const keys = makeOperatorKeys([sim]);
  await startTestAgent(loopback, sim.uniqueName, { config: keys.agentConfig(sim), trustsClock: true });
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  const security = openSecurity({ env: withSender ? keys.env : { XDG_CONFIG_HOME: '/nowhere' } });
  const replies = pollingReplies(client, { interval: 20 });
  const request = createRequester({ client, security, replies, timeScale: 0.01 });
  return { loopback, sim, keys, request };
}

/** Keeps what the API had for SIMs and from them. */
function record(loopback: Loopback): Buffer[] {
  const seen: Buffer[] = [];
  loopback.onEvent((event) => {
    if (event.type === 'command') seen.push(payloadBytes(event.command));
  });
  return seen;
}

describe('a request to a SIM with a key', () => {
  it('is challenged first, and shows that it is new; what the API sees is ciphertext', async () => {
    const { loopback, request } = await startKeyed();
    const seen = record(loopback);
    const progress: RequestProgress[] = [];
    const stored: RequestProtection[] = [];
    const result = await request('gateway-1', 'echo', ['a word in clear'], {
      onProgress: (each) => progress.push(each),
      onProtection: (protection) => void stored.push(protection),
    });
    expect(result).toMatchObject({ outcome: 'done', result: 'a word in clear', authentic: true });
    expect(progress.map(({ type }) => type)).toEqual(['sent', 'challenged', 'sent']);
    expect(stored).toEqual([
      { key: expect.any(String), blocks: [{ number: expect.any(Number), digest: expect.any(String) }] },
      {
        key: expect.any(String),
        blocks: [{ number: expect.any(Number), digest: expect.any(String) }],
        echo: expect.any(Buffer),
      },
    ]);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter((bytes) => bytes.includes('a word') || bytes.includes('echo'))).toEqual([]);
    expect(await request('gateway-1', 'ping')).toMatchObject({ result: 'pong', authentic: true, attempts: 1 });
  });

  it('is sent in blocks, and its result comes in blocks, each protected', async () => {
    const { request } = await startKeyed();
    const text = 'x'.repeat(5000);
    expect(await request('gateway-1', 'echo', { text })).toMatchObject({
      outcome: 'done',
      result: { text },
      authentic: true,
    });
  });

  it('gets the errors of the device as authentic', async () => {
    const { request } = await startKeyed();
    expect(await request('gateway-1', 'no.such.command')).toMatchObject({
      outcome: 'refused',
      error: { code: 'unknown-command' },
      authentic: true,
    });
  });

  it('is the same request when it is made again with its identity', async () => {
    const { request } = await startKeyed();
    const identity = { tag: Buffer.from('abcdef'), messageId: 7 };
    let protection: RequestProtection | undefined;
    const first = await request('gateway-1', 'echo', ['once'], {
      identity,
      onProtection: (next) => {
        protection = next;
      },
    });
    const before = protection;
    const again = await request('gateway-1', 'echo', ['once'], {
      identity: { ...identity, protection },
      again: true,
      onProtection: () => expect.unreachable('no number may be drawn'),
    });
    expect(before).toMatchObject({
      blocks: [{ number: expect.any(Number), digest: expect.any(String) }],
      echo: expect.any(Buffer),
    });
    expect([first, again]).toMatchObject([
      { outcome: 'done', result: 'once', authentic: true },
      { outcome: 'done', result: 'once', authentic: true },
    ]);
  });

  it('is not sent in another format, nor without the key that it had', async () => {
    const { loopback, request, keys, sim } = await startKeyed();
    const seen = record(loopback);
    expect(await request('gateway-1', 'ping', undefined, { format: 'json' })).toMatchObject({
      outcome: 'not-sent',
      error: { code: 'key-required' },
      authentic: false,
      attempts: 0,
    });
    expect(await request('gateway-1', 'ping', undefined, { again: true })).toMatchObject({
      outcome: 'no-answer',
      error: { code: 'key-required' },
    });
    keys.setState(sim, 'revoked');
    expect(await request(sim.sid, 'ping')).toMatchObject({ outcome: 'not-sent', error: { code: 'key-revoked' } });
    expect(seen).toEqual([]);
  });

  it('is not taken for a replay when a hundred are made at once and overtake each other', async () => {
    const { loopback, request } = await startKeyed();
    await request('gateway-1', 'ping');
    loopback.setFaults({ down: { jitter: '2s' } });
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, index) => request('gateway-1', 'echo', [`${index}`], { timeout: '20s' })),
    );
    expect(results.map((each) => each.outcome === 'done' && each.authentic && each.result)).toEqual(
      Array.from({ length: 100 }, (_, index) => `${index}`),
    );
  });

  it('gets no answer without the key, as the device tells strangers nothing', async () => {
    const { request } = await startKeyed({ withSender: false });
    expect(await request('gateway-1', 'ping', undefined, { timeout: '500ms' })).toMatchObject({
      outcome: 'no-answer',
      authentic: false,
    });
  });
});
