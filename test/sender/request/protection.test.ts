import { describe, expect, it } from 'vitest';
import { coapConversation, DOWN_BLOCK_BYTES } from '../../../sender/request/coap.js';
import type { Conversation } from '../../../sender/request/conversation.js';
import {
  createDatagramProtection,
  overheadOf,
  type ProtectionOptions,
  type RequestProtection,
  SAME_COPIES,
} from '../../../sender/request/protection.js';
import {
  type CoapMessage,
  emptyMessage,
  formatMessage,
  type MessageType,
  parseMessage,
} from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { readFields } from '../../../shared/oscore/protected-message.js';
import { parseProtectedRequest, unprotectRequest } from '../../../shared/oscore/request.js';
import { protectResponse } from '../../../shared/oscore/response.js';
import { DEVICE, flips, KEY, OPERATOR } from '../../support/oscore.js';

const TAG = Buffer.from('c0ffee123456', 'hex');
const ECHO = Buffer.from('are you fresh?');
const KNOWN = { id: 'key 1', deviceId: KEY.deviceId, kid: KEY.kid, context: OPERATOR, sendsKidContext: false };
const BODY = Buffer.alloc(2 * DOWN_BLOCK_BYTES + 1, 'x');

/** A protection whose numbers count from 100, and what it has stored. */
function makeProtection(options: Partial<ProtectionOptions> = {}) {
  const stored: RequestProtection[] = [];
  let last = 99;
  const protection = createDatagramProtection({
    ...{ key: KNOWN, draw: async () => ++last, earlier: undefined },
    store: (next) => void stored.push(next),
    ...options,
  });
  return { ...protection, hint: () => protection.hint, stored, drawn: () => last - 99 };
}

const command = (members: Partial<Parameters<typeof coapConversation>[0]> = {}): Conversation =>
  coapConversation({
    ...{ name: 'relay.set', params: undefined, get: false, deadline: undefined, tag: TAG, messageId: 7 },
    ...members,
  });

/** What the device reads of a protected datagram, and how it answers. */
function openAsDevice(bytes: Buffer) {
  const outer = parseMessage(bytes);
  const parsed = parseProtectedRequest(outer);
  if (!parsed.ok) throw new Error(parsed.reason);
  const opened = unprotectRequest(DEVICE, parsed.request);
  if (!opened.ok) throw new Error(opened.reason);
  const { number, kidContext } = parsed.request;
  return {
    ...{ number, kidContext, messageId: outer.messageId, token: outer.token, message: opened.message },
    /** @param number the device's sequence number, where it sends one */
    answer(
      members: Partial<CoapMessage> = {},
      number: number | 'request-nonce' = 'request-nonce',
      type: MessageType = 'ACK',
    ) {
      const parts = { code: '2.04', options: [], payload: Buffer.from('done'), ...members };
      const message = protectResponse(DEVICE, opened.binding, number, parts);
      return formatMessage({ type, messageId: outer.messageId, token: outer.token, ...message });
    },
  };
}

const numbersOf = ({ blocks }: RequestProtection): number[] => blocks.map(({ number }) => number);

/** What is stored of a command whose first datagram was sent with this number. */
async function earlierOf(number: number, conversation: Conversation): Promise<RequestProtection> {
  const protection = makeProtection({ draw: async () => number });
  await protection.protect(conversation);
  const [stored] = protection.stored;
  if (stored === undefined) throw new Error('nothing was stored');
  return stored;
}

const again = async ({ protect }: ReturnType<typeof makeProtection>, conversation: Conversation, copies: number) => {
  const all: Buffer[] = [];
  for (let copy = 0; copy < copies; copy++) all.push(await protect(conversation));
  return all;
};

/** The conversation after an answer, as the sender reads it. */
function nextOf(
  protection: ReturnType<typeof makeProtection>,
  conversation: Conversation,
  answer: Buffer,
): Conversation {
  const opened = protection.open(answer);
  const reply = opened && conversation.interpret(opened, false);
  if (reply?.type !== 'next') throw new Error(`there is no next datagram: ${JSON.stringify(reply)}`);
  return reply.next;
}

/** Sends all blocks of a command, each answered by the device, and returns their datagrams. */
async function upload(protection: ReturnType<typeof makeProtection>, first: Conversation): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for (let conversation = first; ; ) {
    const bytes = await protection.protect(conversation);
    all.push(bytes);
    if (conversation.canRun) return all;
    conversation = nextOf(protection, conversation, openAsDevice(bytes).answer({ code: '2.31' }));
  }
}

describe('a protected datagram', () => {
  it('says to the device what the command says, and to others its token, message ID and number alone', async () => {
    const conversation = command({ params: 'secret' });
    const bytes = await makeProtection().protect(conversation);
    const { token, messageId, ...plain } = parseMessage(conversation.bytes);
    expect(openAsDevice(bytes)).toMatchObject({ number: 100, token, messageId });
    expect(openAsDevice(bytes).message).toEqual({ code: plain.code, options: plain.options, payload: plain.payload });
    const outer = parseMessage(bytes);
    expect(outer).toMatchObject({ type: 'CON', code: '0.02', options: [{ number: OPTION.oscore }] });
    expect(readFields(outer)).toEqual({ partialIv: Buffer.of(100), kid: Buffer.of(KEY.kid) });
    expect(bytes.includes('relay') || bytes.includes('secret')).toBe(false);
  });

  it('has the kid context only where the key asks for it, and is no longer than what was promised', async () => {
    for (const key of [KNOWN, { ...KNOWN, sendsKidContext: true }]) {
      const conversation = command({ params: BODY.subarray(0, 500), echo: ECHO });
      const bytes = await makeProtection({ key, draw: async () => 2 ** 40 - 1 }).protect(conversation);
      const { kidContext } = openAsDevice(bytes);
      expect(kidContext?.toString()).toBe(key.sendsKidContext ? KEY.deviceId : undefined);
      expect(bytes.length - conversation.bytes.length).toBeLessThanOrEqual(overheadOf(key));
    }
  });

  it('is the same in each copy of a command that is not safe', async () => {
    const protection = makeProtection();
    const copies = await again(protection, command(), 5);
    expect(new Set(copies.map((bytes) => bytes.toString('hex'))).size).toBe(1);
    expect(protection.drawn()).toBe(1);
  });

  it('is the same in copies that are made at once', async () => {
    const protection = makeProtection();
    const conversation = command();
    const [one, other] = await Promise.all([protection.protect(conversation), protection.protect(conversation)]);
    expect(one).toEqual(other);
    expect(protection.drawn()).toBe(1);
  });

  it('of a safe command has another number and message ID in each copy after the first ones', async () => {
    const protection = makeProtection();
    const copies = await again(protection, command({ get: true }), SAME_COPIES + 2);
    expect(copies.map((bytes) => openAsDevice(bytes).number)).toEqual([100, 100, 100, 101, 102]);
    const ids = copies.map((bytes) => parseMessage(bytes).messageId);
    expect(ids.slice(0, SAME_COPIES)).toEqual([7, 7, 7]);
    expect(new Set(ids).size).toBe(3);
    expect(new Set(copies.map((bytes) => parseMessage(bytes).token.toString('hex'))).size).toBe(1);
    // A command that is continued has its first number, which the device may know.
    expect(protection.stored.map(numbersOf)).toEqual([[100]]);
  });
});

describe('the numbers of a command', () => {
  it('ascend with its blocks, and each is stored before its datagram is there', async () => {
    const protection = makeProtection();
    const datagrams = await upload(protection, command({ params: BODY }));
    expect(datagrams.map((bytes) => openAsDevice(bytes).number)).toEqual([100, 101, 102]);
    expect(protection.stored.map(numbersOf)).toEqual([[100], [100, 101], [100, 101, 102]]);
  });

  it('are not used when they cannot be stored', async () => {
    const { protect, open } = makeProtection({ store: async () => Promise.reject(new Error('the disk is full')) });
    const conversation = command();
    await expect(protect(conversation)).rejects.toThrow('the disk is full');
    await expect(protect(conversation)).rejects.toThrow('the disk is full');
    expect(
      open(formatMessage({ ...emptyMessage('ACK', 7), code: '2.04', token: Buffer.concat([TAG, Buffer.alloc(2)]) })),
    ).toBe(undefined);
  });

  it('are waited for until they are stored', async () => {
    let release = () => {};
    const store = () => new Promise<void>((resolve) => (release = resolve));
    const protection = makeProtection({ store });
    let isThere = false;
    const datagram = protection.protect(command()).then(() => (isThere = true));
    await new Promise(setImmediate);
    expect(isThere).toBe(false);
    release();
    await datagram;
  });

  it('of the blocks of a result are new each, and are not stored', async () => {
    const protection = makeProtection();
    const conversation = command();
    const [first = Buffer.alloc(0)] = await again(protection, conversation, 1);
    const block2 = { number: OPTION.block2, value: Buffer.of(0x08) };
    const answer = openAsDevice(first).answer({ options: [block2], payload: Buffer.alloc(16) }, 5);
    const more = nextOf(protection, conversation, answer);
    expect(openAsDevice(await protection.protect(more)).number).toBe(101);
    expect(protection.stored).toHaveLength(1);
  });

  it('begin anew when the device asks for Echo, from the first block', async () => {
    const protection = makeProtection();
    const first = command({ params: BODY });
    const [challenged = Buffer.alloc(0)] = await again(protection, first, 1);
    const echo = { number: OPTION.echo, value: ECHO };
    const second = nextOf(protection, first, openAsDevice(challenged).answer({ code: '4.01', options: [echo] }, 5));
    const datagrams = await upload(protection, second);
    expect(datagrams.map((bytes) => openAsDevice(bytes).number)).toEqual([101, 102, 103]);
    expect(openAsDevice(datagrams[0] ?? challenged).message.options).toContainEqual(echo);
    expect(protection.stored.at(-1)).toMatchObject({ key: 'key 1', echo: ECHO });
    expect(protection.stored.map(numbersOf).at(-1)).toEqual([101, 102, 103]);
  });
});

describe('a command that another process continues', () => {
  it.each([
    ['without Echo', undefined],
    ['with Echo', ECHO],
  ])('%s sends the same datagrams, and draws no number', async (_, echo) => {
    const one = makeProtection();
    const datagrams = await upload(one, command({ params: BODY, echo }));
    const draw = () => expect.unreachable('a number was drawn');
    const other = makeProtection({ earlier: one.stored.at(-1), draw });
    expect(await upload(other, command({ params: BODY, echo }))).toEqual(datagrams);
    expect(other.stored).toEqual([]);
  });

  it('draws and stores the numbers of the blocks that had not been sent', async () => {
    const earlier = await earlierOf(50, command({ params: BODY }));
    const protection = makeProtection({ earlier });
    const datagrams = await upload(protection, command({ params: BODY }));
    expect(datagrams.map((bytes) => openAsDevice(bytes).number)).toEqual([50, 100, 101]);
    expect(protection.stored.map(numbersOf)).toEqual([
      [50, 100],
      [50, 100, 101],
    ]);
  });

  it('draws new numbers where it is challenged again', async () => {
    const first = command({ params: BODY, echo: ECHO });
    const protection = makeProtection({ earlier: await earlierOf(50, first) });
    const [challenged = Buffer.alloc(0)] = await again(protection, first, 1);
    expect(openAsDevice(challenged).number).toBe(50);
    const echo = { number: OPTION.echo, value: Buffer.from('and now?') };
    const next = nextOf(protection, first, openAsDevice(challenged).answer({ code: '4.01', options: [echo] }, 5));
    expect(openAsDevice(await protection.protect(next)).number).toBe(100);
    expect(protection.stored).toMatchObject([{ key: 'key 1', echo: echo.value }]);
    expect(protection.stored.map(numbersOf)).toEqual([[100]]);
  });
});

describe('a command that is another than the one before with its identity', () => {
  it.each([
    ['parameters', command({ params: 'other' })],
    ['a deadline', command({ deadline: 1_800_000_000 })],
    ['another method', command({ get: true, params: undefined })],
  ])('in %s is refused, as its number must not be used for both', async (_, other) => {
    const protection = makeProtection({ earlier: await earlierOf(50, command({ params: 'same' })) });
    await expect(protection.protect(other)).rejects.toMatchObject({ code: 'bad-input' });
    expect(openAsDevice(await protection.protect(command({ params: 'same' }))).number).toBe(50);
  });
});

describe('an answer', () => {
  it.each([
    ['with a sequence number', 5],
    ['without one', 'request-nonce'],
  ] as const)('%s is opened', async (_, number) => {
    const protection = makeProtection();
    const device = openAsDevice(await protection.protect(command()));
    const opened = protection.open(device.answer({}, number));
    expect(opened && parseMessage(opened)).toMatchObject({
      type: 'ACK',
      code: '2.04',
      messageId: 7,
      payload: Buffer.from('done'),
    });
    expect(protection.hint()).toBeUndefined();
  });

  it('to any copy of a safe command answers it, also one to the first copy that comes last', async () => {
    const protection = makeProtection();
    const conversation = command({ get: true });
    const copies = await again(protection, conversation, SAME_COPIES + 2);
    for (const copy of copies.toReversed()) {
      const opened = protection.open(openAsDevice(copy).answer({ code: '2.05' }));
      expect(opened && conversation.interpret(opened, true)).toMatchObject({
        type: 'end',
        ending: { outcome: 'done' },
      });
    }
  });

  it('in a message of its own keeps its message ID, and is acknowledged by that', async () => {
    const protection = makeProtection();
    const conversation = command();
    const answer = openAsDevice(await protection.protect(conversation)).answer({}, 5, 'CON');
    answer.writeUInt16BE(4711, 2);
    const opened = protection.open(answer);
    const acknowledge = formatMessage(emptyMessage('ACK', 4711));
    expect(opened && conversation.interpret(opened, false)).toMatchObject({ type: 'end', acknowledge });
  });

  it('without protection does not count, and is a hint', async () => {
    const protection = makeProtection();
    const { token } = openAsDevice(await protection.protect(command()));
    const answer = (members: Partial<CoapMessage>) =>
      protection.open(formatMessage({ ...emptyMessage('ACK', 7), token, code: '2.04', ...members }));
    expect(answer({ payload: Buffer.from('done') })).toBeUndefined();
    expect(protection.hint()).toMatch(/without protection, which anyone can have sent, says 2\.04 "done"/);
    expect(answer({ code: '4.01', payload: Buffer.alloc(1000, 'x') })).toBeUndefined();
    expect(protection.hint()).toMatch(/says 4\.01 "x{100}"$/);
    expect(answer({ code: '5.03' })).toBeUndefined();
    expect(protection.hint()).toMatch(/says 5\.03$/);
  });

  it('that is empty, not CoAP, or for another token neither counts nor leaves a hint', async () => {
    const protection = makeProtection();
    await protection.protect(command());
    const other = formatMessage({ ...emptyMessage('ACK', 7), code: '4.01', token: Buffer.of(1) });
    const empties = (['ACK', 'RST'] as const).map((type) => formatMessage(emptyMessage(type, 7)));
    for (const bytes of [...empties, other, Buffer.from('ok'), Buffer.alloc(0)])
      expect(protection.open(bytes)).toBeUndefined();
    expect(protection.hint()).toBeUndefined();
  });

  it('of which a bit was flipped is another one, or is not opened', async () => {
    const protection = makeProtection();
    const conversation = command();
    const answer = openAsDevice(await protection.protect(conversation)).answer({}, 500);
    const results = flips(answer).flatMap((flipped) => {
      const opened = protection.open(flipped);
      const reply = opened && conversation.interpret(opened, false);
      return reply === undefined ? [] : [reply];
    });
    expect(results.length).toBeGreaterThan(0);
    expect(results).toEqual(
      results.map(() =>
        expect.objectContaining({ type: 'end', ending: { outcome: 'done', result: Buffer.from('done') } }),
      ),
    );
    expect(protection.hint()).toBe('an answer came that the key does not open');
  });

  it('to another command of the same device is not opened, even with the token of this one', async () => {
    const [one, other] = [makeProtection(), makeProtection({ draw: async () => 500 })];
    const device = openAsDevice(await one.protect(command()));
    const answer = parseMessage(openAsDevice(await other.protect(command())).answer({}, 5));
    expect(one.open(formatMessage({ ...answer, token: device.token }))).toBeUndefined();
  });

  it('is opened for the last datagrams only, so that memory is bounded', async () => {
    const protection = makeProtection();
    const long = Buffer.alloc(100 * DOWN_BLOCK_BYTES, 'x');
    const datagrams = await upload(protection, command({ params: long }));
    const opens = (bytes: Buffer | undefined) =>
      bytes !== undefined && protection.open(openAsDevice(bytes).answer()) !== undefined;
    expect(datagrams).toHaveLength(100);
    expect(datagrams.filter(opens).length).toBeLessThanOrEqual(10);
    expect(opens(datagrams.at(-1))).toBe(true);
  });
});
