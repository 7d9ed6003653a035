import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCoapEndpoint } from '../../../../agent/command/coap/endpoint.js';
import type { CoapPeer, ResponseParts } from '../../../../agent/command/coap/received-request.js';
import { createDuplicateTable, MAX_EVICTABLE } from '../../../../agent/command/dedup/duplicate-table.js';
import type { DedupPolicy } from '../../../../agent/command/dedup/entry.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../../shared/coap/message.js';
import { uintOption } from '../../../../shared/coap/options.js';
import { requestBytes, summary, withoutId } from '../../../support/coap.js';

const DIRECT_PEER = '192.0.2.1:5683';
/** Longer than any time of RFC 7252. */
const FOR_EVER = 1_000_000;

interface Handled {
  readonly request: CoapMessage;
  readonly respond: (parts: ResponseParts) => void;
}

const content = (text: string): ResponseParts => ({ code: '2.04', options: [], payload: Buffer.from(text) });

const unused = () => expect.unreachable('nothing is protected here');

/** An endpoint whose requests the test itself answers, and what it sent. */
function startEndpoint({ disposable = false, random = 0, unproven = false, secretId = 0x5ec2 } = {}) {
  const handled: Handled[] = [];
  const sent: { readonly to: string; readonly bytes: Buffer }[] = [];
  const duplicates = createDuplicateTable();
  let policy: DedupPolicy = disposable ? 'none' : 'track';
  const proven: string[] = [];
  const endpoint = createCoapEndpoint({
    duplicates,
    find: (_key, _peer, then) => then(undefined),
    forgotten: () => content('forgotten'),
    handle({ request, seen, policy: given, encode, send }) {
      if (given === 'track') duplicates.keep(seen, 'one', performance.now());
      const respond = (parts: ResponseParts) => {
        const encoded = encode(parts);
        duplicates.finish(seen, encoded);
        if (encoded !== undefined) send(encoded);
      };
      handled.push({ request, respond });
    },
    dedupPolicyOf: () => policy,
    withCaller: (peer) => peer,
    isUnproven: () => unproven,
    prove: ({ address }) => void proven.push(address),
    shorten: (_request, reply) => reply,
    protection: {
      open: unused,
      reopen: unused,
      accept: unused,
      admitChallenge: unused,
      withdrawChallenge: unused,
      challenge: unused,
    },
    numbers: { wait: unused },
    stats: { repeated: () => undefined, denied: unused },
    random: () => random,
    secretId: () => secretId,
  });
  const peerOf = (name: string, route = name): CoapPeer => ({
    name,
    address: name.replace(/:\d+$/, ''),
    caller: { kind: 'anyone', port: 5683 },
    send: (bytes) => sent.push({ to: route, bytes: Buffer.from(bytes) }),
  });
  return {
    endpoint,
    handled,
    /** As a reload that declares a handler idempotent. */
    change(to: DedupPolicy) {
      policy = to;
    },
    /** The addresses that were proven. */
    proven,
    /** Hands bytes over; gives what went out at once. */
    receive(bytes: Buffer, name = DIRECT_PEER, route = name): string[] {
      const before = sent.length;
      endpoint.receive(parseMessage(bytes), bytes, peerOf(name, route));
      return sent.slice(before).map((one) => summary(one.bytes));
    },
    /** Answers a request; gives what went out at once. */
    answer(text: string, index = 0): Buffer[] {
      const before = sent.length;
      handled[index]?.respond(content(text));
      return sent.slice(before).map((one) => one.bytes);
    },
    /** What goes out while the time passes, with its times. */
    during(milliseconds: number): { at: number; bytes: Buffer }[] {
      const went: { at: number; bytes: Buffer }[] = [];
      const from = performance.now();
      while (vi.getTimerCount() > 0 && performance.now() - from < milliseconds) {
        const before = sent.length;
        const step = Math.min(milliseconds - (performance.now() - from), 500);
        vi.advanceTimersByTime(step);
        for (const { bytes } of sent.slice(before)) went.push({ at: performance.now() - from, bytes });
      }
      return went;
    },
    sent,
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a confirmable request', () => {
  it('that is answered within a second gets its response in the acknowledgement, and nothing later', () => {
    const { receive, answer, during } = startEndpoint();
    expect(receive(requestBytes({ messageId: 7, token: 'abc' }))).toEqual([]);
    expect(during(500)).toEqual([]);
    expect(answer('done').map(summary)).toEqual(['ACK 2.04 #7 "abc" done']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that takes longer gets an empty acknowledgement after a second, and its response separately', () => {
    const { receive, answer, during } = startEndpoint();
    receive(requestBytes({ messageId: 7, token: 'abc' }));
    expect(during(1000).map(({ at, bytes }) => [at, summary(bytes)])).toEqual([[1000, 'ACK 0.00 #7']]);
    const [response = Buffer.alloc(0)] = answer('done');
    expect(withoutId(response)).toBe('CON 2.04 "abc" done');
    expect(parseMessage(response).messageId).not.toBe(7);
  });

  it('that comes again while it is handled is acknowledged at once, once for each time, and not handled again', () => {
    const { receive, handled, during } = startEndpoint();
    const bytes = requestBytes({ messageId: 7 });
    receive(bytes);
    expect(receive(bytes)).toEqual(['ACK 0.00 #7']);
    expect(during(5000)).toEqual([]);
    expect(receive(bytes)).toEqual(['ACK 0.00 #7']);
    expect(handled).toHaveLength(1);
  });

  it('that comes again when it is answered is answered the same, byte by byte', () => {
    const { receive, handled, answer, sent } = startEndpoint();
    const bytes = requestBytes({ messageId: 7, token: 'abc' });
    receive(bytes);
    answer('done');
    receive(bytes);
    receive(bytes);
    expect(sent.map((one) => one.bytes.toString('hex'))).toEqual(Array(3).fill(sent[0]?.bytes.toString('hex')));
    expect(handled).toHaveLength(1);
  });

  it('that comes again when it was answered separately has the response in its acknowledgement', () => {
    const { receive, handled, answer, during } = startEndpoint();
    const bytes = requestBytes({ messageId: 7, token: 'abc' });
    receive(bytes);
    during(1000);
    answer('done');
    expect(receive(bytes)).toEqual(['ACK 2.04 #7 "abc" done']);
    expect(handled).toHaveLength(1);
  });

  it('is another one with another message ID, another token, another byte or from another peer', () => {
    const { receive, handled } = startEndpoint();
    receive(requestBytes({ messageId: 7, token: 'a', payload: 'x' }));
    receive(requestBytes({ messageId: 8, token: 'a', payload: 'x' }));
    receive(requestBytes({ messageId: 7, token: 'b', payload: 'x' }));
    receive(requestBytes({ messageId: 7, token: 'a', payload: 'y' }));
    receive(requestBytes({ messageId: 7, token: 'a', payload: 'x' }), '192.0.2.1:5684');
    expect(handled).toHaveLength(5);
  });

  it('of any length is told from another that differs in its last byte', () => {
    const { receive, handled } = startEndpoint();
    const long = 'x'.repeat(1000);
    for (const payload of [`${long}a`, `${long}b`, `${long}a`]) receive(requestBytes({ payload }));
    expect(handled).toHaveLength(2);
  });

  it('is remembered for 247 s from its answer, and may then be a new one', () => {
    const { receive, handled, answer } = startEndpoint();
    const bytes = requestBytes({ messageId: 7 });
    receive(bytes);
    answer('done');
    vi.advanceTimersByTime(246_999);
    expect(receive(bytes)).toEqual(['ACK 2.04 #7 done']);
    vi.advanceTimersByTime(1);
    expect(receive(bytes)).toEqual([]);
    expect(handled).toHaveLength(2);
  });

  it('is not handled twice however long that takes, and its answer is there for who asks after it', () => {
    const { endpoint, receive, handled, answer } = startEndpoint();
    const bytes = requestBytes({ messageId: 7 });
    receive(bytes);
    vi.advanceTimersByTime(FOR_EVER);
    expect(receive(bytes)).toEqual(['ACK 0.00 #7']);
    answer('at last');
    expect(receive(bytes)).toEqual(['ACK 2.04 #7 at last']);
    expect(handled).toHaveLength(1);
    endpoint.stop();
  });
});

describe('a non-confirmable request', () => {
  it('is answered non-confirmably under a message ID of the device’s own, whenever it is done', () => {
    const { receive, answer, during, handled } = startEndpoint();
    receive(requestBytes({ type: 'NON', messageId: 7, token: 'abc' }));
    expect(during(60_000)).toEqual([]);
    expect(handled).toHaveLength(1);
    expect(answer('done').map(withoutId)).toEqual(['NON 2.04 "abc" done']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that comes again is not handled again: silence while it runs, then the same bytes', () => {
    const { receive, handled, answer, sent } = startEndpoint();
    const bytes = requestBytes({ type: 'NON', messageId: 7, token: 'abc' });
    receive(bytes);
    expect(receive(bytes)).toEqual([]);
    answer('done');
    receive(bytes);
    expect(sent).toHaveLength(2);
    expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
    expect(handled).toHaveLength(1);
  });

  it('is remembered for 145 s', () => {
    const { receive, handled, answer } = startEndpoint();
    const bytes = requestBytes({ type: 'NON' });
    receive(bytes);
    answer('done');
    vi.advanceTimersByTime(144_999);
    expect(receive(bytes)).toHaveLength(1);
    vi.advanceTimersByTime(1);
    receive(bytes);
    expect(handled).toHaveLength(2);
  });

  it('with a critical option that is not understood is reset, and not handled', () => {
    const { receive, handled } = startEndpoint();
    const options = [uintOption(65_001, 1)];
    expect(receive(requestBytes({ type: 'NON', messageId: 7, options }))).toEqual(['RST 0.00 #7']);
    expect(handled).toEqual([]);
    receive(requestBytes({ type: 'CON', messageId: 8, options }));
    receive(requestBytes({ type: 'NON', messageId: 9, options: [uintOption(65_000, 1)] }));
    expect(handled).toHaveLength(2);
  });

  it('is answered under another message ID each', () => {
    const { receive, handled, answer } = startEndpoint();
    const ids = new Set<number>();
    for (let index = 0; index < 70_000; index++) {
      receive(requestBytes({ type: 'NON', messageId: index & 0xffff, payload: String(index) }), `peer ${index % 7}`);
      const [bytes = Buffer.alloc(0)] = answer('x', index);
      const { messageId } = parseMessage(bytes);
      if (index < 65_536 && ids.has(messageId)) expect.unreachable(`${messageId} came twice`);
      ids.add(messageId);
      if (handled.length % 10_000 === 0) vi.advanceTimersByTime(200_000);
    }
    expect(ids.size).toBe(65_536);
  });
});

describe('a separate response', () => {
  /** Answers one request separately; gives the response. */
  function answeredSeparately(random = 0) {
    const all = startEndpoint({ random });
    const bytes = requestBytes({ messageId: 7, token: 'abc' });
    all.receive(bytes);
    all.during(1000);
    const [response = Buffer.alloc(0)] = all.answer('done');
    return { ...all, response };
  }

  it.each([
    ['earliest', 0, [2000, 6000, 14_000, 30_000]],
    ['latest', 1, [3000, 9000, 21_000, 45_000]],
  ])('is sent again by the RFC until nobody can be there any more, at the %s', (_, random, times) => {
    const { during, response } = answeredSeparately(random);
    const again = during(FOR_EVER);
    expect(again.map(({ at }) => at)).toEqual(times);
    for (const { bytes } of again) expect(bytes).toEqual(response);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(['ACK', 'RST'] as const)('is not sent again after its %s', (type) => {
    const { during, response, receive } = answeredSeparately();
    expect(during(2000)).toHaveLength(1);
    expect(receive(formatMessage(emptyMessage(type, parseMessage(response).messageId)))).toEqual([]);
    expect(during(FOR_EVER)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is sent on after an acknowledgement of another message, or by another peer', () => {
    const { during, response, receive } = answeredSeparately();
    const { messageId } = parseMessage(response);
    receive(formatMessage(emptyMessage('ACK', messageId ^ 1)));
    receive(formatMessage(emptyMessage('ACK', messageId)), '192.0.2.1:5684');
    expect(during(FOR_EVER)).toHaveLength(4);
  });

  it('is no longer sent when the agent stops', () => {
    const { endpoint, during } = answeredSeparately();
    endpoint.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(during(FOR_EVER)).toEqual([]);
  });

  it('goes non-confirmably when 64 are not acknowledged, and confirmably when one is', () => {
    const { receive, during, answer } = startEndpoint();
    for (let index = 0; index < 66; index++) receive(requestBytes({ messageId: index }));
    during(1000);
    const responses = Array.from({ length: 65 }, (_, index) => answer('done', index)).flat();
    expect(responses.map((bytes) => parseMessage(bytes).type)).toEqual([...Array(64).fill('CON'), 'NON']);
    const [first = Buffer.alloc(0)] = responses;
    receive(formatMessage(emptyMessage('ACK', parseMessage(first).messageId)));
    expect(answer('done', 65).map(withoutId)).toEqual(['CON 2.04 done']);
  });

  it('makes room for others when it is given up', () => {
    const { receive, during, answer } = startEndpoint();
    for (let index = 0; index < 64; index++) receive(requestBytes({ messageId: index }));
    during(1000);
    for (let index = 0; index < 64; index++) answer('done', index);
    expect(during(FOR_EVER)).toHaveLength(64 * 4);
    receive(requestBytes({ messageId: 100 }));
    during(1000);
    expect(answer('done', 64).map(withoutId)).toEqual(['CON 2.04 done']);
  });
});

describe('the gateway, where each message is an API call,', () => {
  it('gets no empty acknowledgement before it asks again, and the response in one message', () => {
    const { receive, during, answer } = startEndpoint();
    receive(requestBytes({ messageId: 7, token: 'abc' }), 'gateway');
    expect(during(60_000)).toEqual([]);
    expect(answer('done').map(summary)).toEqual(['ACK 2.04 #7 "abc" done']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gets an empty acknowledgement when it asks again, and then a response that is not sent twice', () => {
    const { receive, during, answer, handled } = startEndpoint();
    const bytes = requestBytes({ messageId: 7, token: 'abc' });
    receive(bytes, 'gateway');
    expect(receive(bytes, 'gateway')).toEqual(['ACK 0.00 #7']);
    expect(answer('done').map(withoutId)).toEqual(['NON 2.04 "abc" done']);
    expect(during(FOR_EVER)).toEqual([]);
    expect(receive(bytes, 'gateway')).toEqual(['ACK 2.04 #7 "abc" done']);
    expect(handled).toHaveLength(1);
  });

  it('is one peer, whatever port and transport it comes from, and is answered where it asked last', () => {
    const { receive, answer, sent, handled } = startEndpoint();
    const bytes = requestBytes({ messageId: 7 });
    receive(bytes, 'gateway', 'port 6969');
    answer('done');
    receive(bytes, 'gateway', 'port 31337');
    expect(sent.map(({ to }) => to)).toEqual(['port 6969', 'port 31337']);
    expect(handled).toHaveLength(1);
  });

  it('is remembered for 365 s from the answer, as its messages take longer', () => {
    const { receive, answer, handled } = startEndpoint();
    const bytes = requestBytes({ messageId: 7 });
    receive(bytes, 'gateway');
    answer('done');
    vi.advanceTimersByTime(364_999);
    expect(receive(bytes, 'gateway')).toHaveLength(1);
    vi.advanceTimersByTime(1);
    receive(bytes, 'gateway');
    expect(handled).toHaveLength(2);
  });
});

describe('an empty message', () => {
  it('that is confirmable is a ping, and reset', () => {
    const { receive, handled } = startEndpoint();
    const ping = formatMessage(emptyMessage('CON', 0x1234));
    expect(receive(ping)).toEqual([`RST 0.00 #${0x1234}`]);
    expect(receive(ping)).toEqual([`RST 0.00 #${0x1234}`]);
    expect(handled).toEqual([]);
  });

  it('of any other type is not answered, known or not', () => {
    const { receive, handled } = startEndpoint();
    for (const type of ['NON', 'ACK', 'RST'] as const)
      expect(receive(formatMessage(emptyMessage(type, 5)))).toEqual([]);
    expect(handled).toEqual([]);
  });
});

describe('bytes that are no message', () => {
  it('are thrown back, and nothing is sent', () => {
    const { receive, sent } = startEndpoint();
    expect(() => receive(Buffer.from('40010001ff', 'hex'))).toThrow();
    expect(sent).toEqual([]);
  });
});

describe('a request that may run twice', () => {
  it('is known while it runs, however many others come and however long it takes, and not when it has ended', () => {
    const { receive, handled, answer } = startEndpoint({ disposable: true });
    const first = requestBytes({ messageId: 0 });
    receive(first);
    for (let index = 1; index <= MAX_EVICTABLE + 1; index++) {
      receive(requestBytes({ messageId: index }));
      answer('x', index);
    }
    vi.advanceTimersByTime(FOR_EVER);
    expect(receive(first)).toEqual(['ACK 0.00 #0']);
    expect(handled).toHaveLength(MAX_EVICTABLE + 2);
    answer('y', 0);
    receive(first);
    expect(handled).toHaveLength(MAX_EVICTABLE + 3);
  });

  it('is known where it began when it might not, and has not ended', () => {
    const endpoint = startEndpoint();
    const request = requestBytes({ messageId: 1 });
    endpoint.receive(request);
    endpoint.change('none');
    endpoint.receive(request);
    expect(endpoint.handled).toHaveLength(1);
    endpoint.answer('x');
    expect(endpoint.receive(request)).toEqual(['ACK 2.04 #1 x']);
  });
});

describe('a separate response to a peer that is not proven', () => {
  const SECRET = 0x5ec2;
  const ended = (type: 'ACK' | 'RST', messageId: number) => formatMessage(emptyMessage(type, messageId));

  /** Sends the last copies of requests, and has one answered: separately, as it was acknowledged. */
  function answered() {
    const all = startEndpoint({ unproven: true, secretId: SECRET });
    const requests = [7, 8, 9].map((messageId) => requestBytes({ messageId }));
    for (const bytes of requests) all.receive(bytes);
    vi.advanceTimersByTime(30_000);
    expect(requests.flatMap((bytes) => all.receive(bytes))).toEqual(['ACK 0.00 #7', 'ACK 0.00 #8', 'ACK 0.00 #9']);
    return { ...all, response: all.answer('done').map(summary) };
  }

  it('has a message ID that cannot be guessed, and its acknowledgement proves the address', () => {
    const { response, receive, proven } = answered();
    expect(response).toEqual([`CON 2.04 #${SECRET} done`]);
    receive(ended('ACK', SECRET));
    expect(proven).toEqual(['192.0.2.1']);
  });

  it('proves nothing by a reset, by an acknowledgement from another port, or by a second one', () => {
    const { receive, proven, during } = answered();
    receive(ended('ACK', SECRET), '192.0.2.1:5684');
    receive(ended('RST', SECRET));
    receive(ended('ACK', SECRET));
    expect(proven).toEqual([]);
    expect(during(FOR_EVER)).toEqual([]);
  });

  it('proves nothing to who tries all message IDs, from whatever port, nor any of their later ones', () => {
    const { receive, proven } = answered();
    for (let id = 0; id < 0x10000; id++) receive(ended('ACK', id), id % 2 === 0 ? DIRECT_PEER : '192.0.2.1:1');
    expect(proven).toEqual([]);
  });

  it('is proven in spite of a few acknowledgements that came twice', () => {
    const { receive, proven } = answered();
    for (const id of [1, 2]) receive(ended('ACK', id));
    receive(ended('ACK', SECRET));
    expect(proven).toEqual(['192.0.2.1']);
  });

  it('is the only confirmable one to the address, until it is acknowledged or given up', () => {
    const { answer, during } = answered();
    expect(answer('other', 1).map(withoutId)).toEqual(['NON 2.04 other']);
    during(FOR_EVER);
    expect(answer('third', 2).map(summary)).toEqual([`CON 2.04 #${SECRET} third`]);
  });
});

it('a slow request of a peer that is not proven has its response piggybacked, however often it comes meanwhile', () => {
  const { receive, answer, during, handled } = startEndpoint({ unproven: true });
  const bytes = requestBytes({ messageId: 7 });
  const copies = [0, 3000, 6000, 12_000].flatMap((wait) => {
    vi.advanceTimersByTime(wait);
    return receive(bytes);
  });
  expect(copies).toEqual([]);
  expect(answer('done').map(summary)).toEqual(['ACK 2.04 #7 done']);
  expect(receive(bytes)).toEqual(['ACK 2.04 #7 done']);
  expect(during(FOR_EVER)).toEqual([]);
  expect(handled).toHaveLength(1);
});
