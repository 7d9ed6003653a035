import { describe, expect, it } from 'vitest';
import type { RequestOptions } from '../../../../sender/request/request.js';
import type { RequestResult } from '../../../../sender/request/result.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../../shared/coap/message.js';
import { OPTION, stringOption, uintOption } from '../../../../shared/coap/options.js';
import { requestBytes } from '../../../support/coap.js';
import { flippedMessages, flips } from '../../../support/oscore.js';
import { SEED, seededRandom } from '../../../support/seed.js';
import { INVENTORY, liveADay, unlock } from './day.js';
import { openScene, type Scene } from './scene.js';

/** All kinds of commands, losses, a broadcast and a kill: most of what a day has. */
const MORNING = { from: 6, until: 13 };

/** Of each datagram of the morning. */
const FLIPS_EACH = 4;

/** All messages of which a bit of the code, the option or the ciphertext differs. */
const flipped = (message: CoapMessage): Buffer[] =>
  flippedMessages(message).map((parts) => formatMessage({ ...message, ...parts }));

/** A datagram cut at each length, and longer by some bytes. */
const cutAndExtended = (bytes: Buffer): Buffer[] => [
  ...Array.from({ length: bytes.length - 1 }, (_, length) => bytes.subarray(0, length + 1)),
  ...[1, 2, 8].map((more) => Buffer.concat([bytes, Buffer.alloc(more)])),
];

/** The ciphertext of each with the option of another. */
const spliced = (messages: readonly CoapMessage[]): Buffer[] =>
  messages.flatMap((one) =>
    messages.filter((other) => other !== one).map(({ payload }) => formatMessage({ ...one, payload })),
  );

/** Some flips of each datagram, also of what OSCORE does not protect. */
function someFlips(datagrams: readonly Buffer[]): Buffer[] {
  const { pick } = seededRandom(SEED);
  return datagrams.flatMap((bytes) => {
    const [first = bytes, ...others] = flips(bytes);
    return Array.from({ length: FLIPS_EACH }, () => pick([first, ...others]));
  });
}

const withOption = (message: CoapMessage, number: number, value: string): Buffer =>
  formatMessage({
    ...message,
    options: [...message.options, stringOption(number, value)].toSorted((one, other) => one.number - other.number),
  });

/** Ways to write a request differently, in what OSCORE does not protect. */
const OTHER_HEADS: readonly ((message: CoapMessage) => Buffer)[] = [
  (message) => formatMessage({ ...message, messageId: message.messageId ^ 0x5555 }),
  (message) => formatMessage({ ...message, token: Buffer.from('other') }),
  (message) => formatMessage({ ...message, token: Buffer.alloc(0), type: 'NON' }),
  (message) => withOption(message, OPTION.uriPath, 'ping'),
  (message) => withOption(message, OPTION.requestTag, 'x'),
  (message) => withOption(message, OPTION.echo, 'forged'),
];

/** What who has no key can say about `vault.unlock`. */
const UNPROTECTED: Buffer[] = [
  requestBytes({ path: 'vault/unlock', payload: '{"pin":"forged"}', contentFormat: 50, token: 'forged' }),
  requestBytes({ path: 'vault/survey', method: '0.01', messageId: 2 }),
  Buffer.from('#1 vault.unlock forged'),
  Buffer.from('{"jsonrpc":"2.0","id":1,"method":"vault.unlock"}'),
];

describe('who changes what the sender sends', () => {
  it('has no command run; requests that were kept back run once, as they are', { timeout: 120_000 }, async () => {
    const scene = await openScene();
    await liveADay(scene, MORNING);
    scene.setHour(MORNING.until);
    const { request, sim, captured } = scene;
    const earlier = [...captured.toSim];
    const pins = OTHER_HEADS.map((_, index) => `kept back ${index}`);
    const kept = await scene.keepRequestsBack([
      ...pins.map((pin) => (options: RequestOptions) => request(sim.sid, 'vault.unlock', { pin }, options)),
      (options) => request(sim.sid, 'vault.survey', undefined, { ...options, get: true }),
    ]);
    const all = kept.map((bytes) => parseMessage(bytes));
    // The shortest one: a GET has no payload.
    const survey = all.reduce((one, other) => (other.payload.length < one.payload.length ? other : one));
    const messages = all.filter((message) => message !== survey);
    const before = scene.device.runs();
    const changed = [
      ...[[survey, ...messages.slice(0, 1)].flatMap(flipped)],
      ...[kept.flatMap(cutAndExtended), spliced(messages), UNPROTECTED, someFlips(earlier)],
    ];
    for (const datagrams of changed) {
      await scene.post(datagrams);
      await scene.looksAtAll();
      expect(scene.device.runs()).toEqual(before);
    }
    const { denied } = (await scene.device.status()).counters;
    expect(denied['bad-tag']).toBeGreaterThan(1000);
    expect(denied['unprotected']).toBeGreaterThanOrEqual(UNPROTECTED.length);

    // Each in one way at first, and then in all.
    await scene.post(messages.flatMap((message, index) => OTHER_HEADS[index]?.(message) ?? []));
    await scene.post(messages.flatMap((message) => OTHER_HEADS.map((write) => write(message))));
    await scene.looksAtAll();
    const later = scene.device.runs().slice(before.length);
    expect(later.toSorted()).toEqual(pins.map((pin) => JSON.stringify(['unlock', { pin }])).toSorted());
  });
});

/** Has a request wait, and gives it everything but its answer; then that, in other words. @returns its result */
async function attackRequest(
  scene: Scene,
  make: () => Promise<RequestResult>,
  inOtherWords: (answer: CoapMessage) => Buffer,
): Promise<RequestResult> {
  let result: RequestResult | undefined;
  scene.keepAnswersBack();
  const request = make().then((ended) => {
    result = ended;
    return ended;
  });
  const answer = await scene.keptBackAnswer();
  const message = parseMessage(answer.payload);
  const { token, messageId } = message;
  const asIfIts = (bytes: Buffer): Buffer => formatMessage({ ...parseMessage(bytes), token, messageId });
  const attempts = [
    ...flipped(message),
    ...cutAndExtended(answer.payload),
    // The other answers of the day, and parts of them.
    ...scene.captured.fromSim.filter((bytes) => !bytes.equals(answer.payload)).map(asIfIts),
    ...scene.captured.fromSim
      .map((bytes) => parseMessage(bytes))
      .filter(({ payload }) => payload.length > 0 && !payload.equals(message.payload))
      .flatMap((other) => [
        formatMessage({ ...message, payload: other.payload }),
        formatMessage({ ...message, options: other.options }),
      ]),
    ...(['RST', 'ACK'] as const).map((type) => formatMessage(emptyMessage(type, messageId))),
    ...['2.04', '2.05', '2.31', '4.01', '4.03', '4.04', '5.00', '5.03'].flatMap((code) =>
      (['ACK', 'CON', 'NON'] as const).map((type) =>
        formatMessage({
          type,
          code,
          token,
          messageId,
          options: [uintOption(OPTION.contentFormat, 0)],
          payload: Buffer.from('forged'),
        }),
      ),
    ),
    ...['ok', '#1 ok forged', '{"jsonrpc":"2.0","id":1,"result":"forged"}'].map((text) => Buffer.from(text)),
  ];
  for (const bytes of attempts) scene.answerWith(answer, bytes);
  await new Promise(setImmediate);
  expect(result).toBeUndefined();
  scene.letAnswersPass();
  scene.answerWith(answer, inOtherWords(message));
  return request;
}

describe('who changes what the device answers', () => {
  it('ends no request that waits, but by its own answer', { timeout: 120_000 }, async () => {
    const scene = await openScene();
    await liveADay(scene, MORNING);
    scene.setHour(MORNING.until);
    const { request, sim, device } = scene;
    const done = (result: unknown) => ({ outcome: 'done', result, authentic: true });

    expect(
      await attackRequest(
        scene,
        () => unlock(scene, MORNING.until),
        (answer) => formatMessage({ ...answer, type: 'NON', messageId: 1 }),
      ),
    ).toMatchObject(done('kestrel cabinet'));

    const get = (name: string) => request(sim.sid, name, undefined, { get: true });
    expect(
      await attackRequest(
        scene,
        () => get('vault.survey'),
        (answer) => formatMessage({ ...answer, type: 'CON', messageId: 2 }),
      ),
    ).toMatchObject(done({ bird: 'moonlit heron' }));

    // Its first block; the others then pass.
    expect(
      await attackRequest(
        scene,
        () => get('vault.inventory'),
        (answer) => withOption(answer, OPTION.eTag, 'forged'),
      ),
    ).toMatchObject(done(INVENTORY));

    const jam = () => request(sim.sid, 'vault.jammed');
    expect(await attackRequest(scene, jam, (answer) => withOption(answer, OPTION.unrecorded, ''))).toMatchObject({
      ...{ outcome: 'failed', error: { code: 'handler-failed' }, authentic: true },
    });

    // A challenge.
    await device.restart('SIGKILL');
    const runs = device.runs();
    expect(
      await attackRequest(
        scene,
        () => unlock(scene, MORNING.until),
        (answer) => withOption(answer, OPTION.echo, 'forged'),
      ),
    ).toMatchObject(done('kestrel cabinet'));
    expect(device.runs()).toHaveLength(runs.length + 1);
  });

  it('has no event reported as authentic', { timeout: 120_000 }, async () => {
    const scene = await openScene();
    await liveADay(scene, MORNING);
    const reported = [...scene.events];
    const events = scene.captured.fromSim.filter((bytes) => parseMessage(bytes).code === '0.02');
    const before = scene.heard.length;
    expect(events).toHaveLength(reported.length);
    const messages = events.slice(0, 2).map((bytes) => parseMessage(bytes));
    const forged = [...messages.flatMap(flipped), ...spliced(messages), ...events.slice(0, 2).flatMap(cutAndExtended)];
    for (let at = 0; at < forged.length; at += 200) await scene.inject(forged.slice(at, at + 200));
    expect(scene.events).toEqual(reported);
    const opened = scene.heard.slice(before).flatMap((callback) => callback.opened ?? []);
    expect(opened.filter((each) => each.kind === 'event')).toEqual([]);
    expect(opened.filter((each) => each.kind === 'sealed' && each.reason === 'bad-tag').length).toBeGreaterThan(1000);
  });
});
