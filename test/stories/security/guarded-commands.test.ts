import { decode, encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../agent/command/runner/deadline.js';
import { resolveConfig } from '../../../agent/config/load.js';
import type { Handler } from '../../../agent/handlers/handler.js';
import { compileHandler } from '../../../agent/handlers/registry.js';
import { asAfterKill, heldHandler, lookingHandler, settled, startWired } from '../../agent/command/wired-support.js';
import { type RequestSetup, requestBytes, summary, withoutId } from '../../support/coap.js';
import { deferred } from '../../support/deferred.js';
import { startPipeline } from '../../support/pipeline.js';

const ALLOW = { security: { unprotected: 'allow' } } as const;

/** How a command comes, and what it is answered while it needs an authentication that it does not have. */
const FORMATS: [format: string, request: Uint8Array | string, refused: unknown, read: (reply: Buffer) => unknown][] = [
  ['text', '#1 look', expect.stringMatching(/^#1 error authentication-required /), String],
  ['text without an id', 'look', expect.stringMatching(/^error authentication-required /), String],
  [
    'json',
    '{"id":1,"method":"look"}',
    expect.objectContaining({
      error: expect.objectContaining({ code: -32009, data: { code: 'authentication-required' } }),
    }),
    (reply) => JSON.parse(String(reply)),
  ],
  [
    'cbor',
    encode({ id: 1, method: 'look' }),
    expect.objectContaining({ error: expect.objectContaining({ code: -32009 }) }),
    (reply) => decode(reply),
  ],
  [
    'coap',
    requestBytes({ path: 'look', token: 'a', messageId: 9 }),
    expect.stringMatching(/^ACK 4\.01 #9 "a" authentication-required: /),
    summary,
  ],
  [
    'coap, non-confirmable',
    requestBytes({ type: 'NON', path: 'look', token: 'a' }),
    expect.stringMatching(/^NON 4\.01 "a" authentication-required: /),
    withoutId,
  ],
];

/** The same request, in CoAP with another message ID: a repeat would be answered as the first was. */
function otherMessageId(request: Uint8Array | string): Uint8Array | string {
  if (typeof request === 'string' || ((request[0] ?? 0) & 0xc0) !== 0x40) return request;
  const other = Buffer.from(request);
  other[3] = (other[3] ?? 0) ^ 1;
  return other;
}

/** A handler that needs authentication, and its runs. */
function guarded(definition = lookingHandler('look', () => 1)) {
  const handler: Handler = { ...compileHandler(definition.handler), needsAuthentication: true };
  return { handler, seen: definition.seen };
}

describe('a command that ends or changes the device', () => {
  it.each(FORMATS)('is refused by default, and runs nothing: %s', async (_, request, refused, read) => {
    const { handler, seen } = guarded();
    const { registry, reply, journal, counters } = await startWired({});
    registry.set('look', handler);
    expect(read(await reply(request))).toEqual(refused);
    expect(seen).toEqual([]);
    expect(counters.outcomes.refused).toBe(1);
    expect(journal.size).toMatchObject({ entries: 0 });
  });

  it.each(FORMATS)('runs where that is allowed, also from one moment to the next: %s', async (_, request) => {
    const { handler, seen } = guarded();
    const { registry, reply, pipeline } = startPipeline();
    registry.set('look', handler);
    await reply(request);
    pipeline.change(resolveConfig(ALLOW));
    await reply(otherMessageId(request));
    expect(seen).toHaveLength(1);
    pipeline.change(resolveConfig({}));
    await reply(requestBytes({ path: 'look', messageId: 77 }));
    expect(seen).toHaveLength(1);
  });

  it('is refused before its parameters are checked, in blocks too', async () => {
    const { handler } = guarded();
    const { registry, reply } = startPipeline();
    registry.set('look', { ...handler, bind: () => expect.unreachable() });
    expect(String(await reply('look "'))).toMatch(/parse-error/);
    expect(String(await reply('look a=1'))).toMatch(/authentication-required/);
    const block1 = { number: 0, more: false, exponent: 6 };
    expect(summary(await reply(requestBytes({ path: 'look', block1, payload: '{', contentFormat: 50 })))).toMatch(
      /^ACK 4\.01 /,
    );
  });

  it('on a raw port has no reply, and runs nothing', () => {
    const { handler, seen } = guarded();
    const ports = [{ port: 7001, format: 'raw' as const, handler: 'look' }];
    const { registry, answers, counters } = startPipeline({ config: { listen: { ports } } });
    registry.set('look', handler);
    expect(answers('anything', undefined, 7001)).toEqual([]);
    expect({ runs: seen.length, refused: counters.outcomes.refused }).toEqual({ runs: 0, refused: 1 });
  });

  it('in a batch is refused, and the others run', async () => {
    const { handler } = guarded();
    const { registry, reply } = startPipeline();
    registry.set('look', handler);
    const answers = JSON.parse(String(await reply('[{"id":1,"method":"look"},{"id":2,"method":"ping"}]')));
    expect(answers).toMatchObject([{ error: { code: -32009 } }, { result: 'pong' }]);
  });

  it.each(FORMATS.filter(([format]) => !format.includes('without')))(
    'that ran while it was allowed is answered as then, also after a restart: %s',
    async (_, request, refused, read) => {
      const { handler, seen } = guarded();
      const before = await startWired({ config: ALLOW });
      before.registry.set('look', handler);
      await before.reply(request);
      before.pipeline.change(resolveConfig({}));
      expect(read(await before.reply(request))).not.toEqual(refused);
      before.database.close();
      const after = await startWired({ folder: before.folder });
      after.registry.set('look', handler);
      expect(read(await after.reply(request))).not.toEqual(refused);
      expect(seen).toHaveLength(1);
    },
  );

  it('waits, and is refused when a reload forbids it before it starts; its repeat is told the same', async () => {
    const held = heldHandler();
    const { handler, seen } = guarded();
    const { registry, receive, pipeline, sent } = startPipeline({
      config: { ...ALLOW, limits: { running: 1 } },
      handlers: [held.handler],
    });
    registry.set('look', handler);
    receive('#1 hold');
    receive('#2 look');
    receive('{"method":"look"}');
    receive(requestBytes({ path: 'look', token: 'a', messageId: 9 }));
    pipeline.change(resolveConfig({}));
    held.release('ok');
    await expect.poll(() => sent).toHaveLength(3);
    receive('#2 look');
    expect(
      sent
        .map(({ bytes }) => bytes)
        .filter((bytes) => bytes[0] === 35)
        .map(String),
    ).toEqual([
      '#1 ok ok',
      expect.stringMatching(/^#2 error authentication-required /),
      expect.stringMatching(/^#2 repeat error authentication-required /),
    ]);
    expect(summary(sent[2]?.bytes ?? Buffer.alloc(0))).toMatch(/^ACK 4\.01 #9 "a"/);
    expect(seen).toEqual([]);
  });

  it('waits for its deadline to be judged, and is refused when a reload forbids it meanwhile', async () => {
    const { handler, seen } = guarded();
    const verdict = deferred<Verdict>();
    const { registry, receive, pipeline, sent } = startPipeline({ config: ALLOW, judge: () => verdict.promise });
    registry.set('look', handler);
    receive('{"id":1,"method":"look","deadline":4000000000}');
    pipeline.change(resolveConfig({}));
    verdict.resolve({ run: true, clockSynchronized: true });
    await expect.poll(() => sent).toHaveLength(1);
    expect(JSON.parse(String(sent[0]?.bytes))).toMatchObject({ error: { code: -32009 } });
    expect(seen).toEqual([]);
  });

  it.each(FORMATS.filter(([format]) => !format.includes('without')))(
    'that is idempotent and ran while it was allowed is answered as then: %s',
    async (_, request, refused, read) => {
      const { handler, seen } = guarded();
      const { registry, reply, pipeline } = await startWired({ config: ALLOW });
      registry.set('look', { ...handler, idempotent: true, safe: true });
      await reply(request);
      pipeline.change(resolveConfig({}));
      expect(read(await reply(request))).not.toEqual(refused);
      expect(seen).toHaveLength(1);
    },
  );

  it('is refused in CoAP by any method, and at the first block of its body', async () => {
    const { handler } = guarded();
    const { registry, reply } = startPipeline();
    registry.set('look', handler);
    const block1 = { number: 0, more: true, exponent: 6 };
    const requests: RequestSetup[] = [{ method: '0.01' }, { method: '0.03' }, { block1, payload: Buffer.alloc(1024) }];
    for (const [messageId, setup] of requests.entries()) {
      expect(summary(await reply(requestBytes({ path: 'look', messageId, ...setup })))).toMatch(/^ACK 4\.01 /);
    }
  });

  it('that had started when the agent was killed may have run, though it is refused now', async () => {
    const held = heldHandler('look', true);
    const handler: Handler = { ...compileHandler(held.handler), needsAuthentication: true, idempotent: false };
    const before = await startWired({ config: ALLOW });
    before.registry.set('look', handler);
    before.receive('#1 look');
    await held.running;
    await settled();
    const after = await startWired({ folder: asAfterKill(before.folder) });
    expect(after.texts()).toEqual([expect.stringMatching(/^#1 error interrupted /)]);
    held.release('ok');
  });
});
