import { setTimeout as rest } from 'node:timers/promises';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import { nonceOf } from '../../../shared/oscore/aead.js';
import { partialIvOf } from '../../../shared/oscore/sequence-number.js';
import { requestBytes } from '../../support/coap.js';
import { startOperator } from '../../support/security.js';
import type { SeededRandom } from '../../support/seed.js';
import { openPeer } from '../../support/udp.js';

const JSON_FORMAT = 50;
const LOOK_MS = 4;
const RESEND_MS = 300;
/** A first request after a loss is challenged, and so is one more when another loss comes in between. */
const MOST_CHALLENGES = 3;
/** Loopback has a queue, and the agent draws 1,024 numbers a second at most. */
const REPLAYS_AT_ONCE = 16;
const REPLAY_REST_MS = 40;

/** A command whose runs are counted. */
export interface CountedCommand {
  readonly handler: 'look' | 'set' | 'act';
  /** How long it takes before its effect, and after it. */
  readonly ms?: number;
}

/** A datagram that was sent, and by whom. */
export interface SentRequest {
  readonly bytes: Buffer;
  /** What its runs are counted under. The same command protected anew, to show that it is fresh, has another. */
  readonly number: number;
  readonly caller: { sendAgain(bytes: Buffer): Promise<void> };
}

export type Caller = Awaited<ReturnType<typeof openCaller>>;

/**
 * An operator at a port of its own.
 *
 * @param sent where it leaves all that it sends
 */
export async function openCaller(to: Endpoint, kid: number, sent: SentRequest[]) {
  const operator = startOperator({ kid });
  const peer = await openPeer();
  const nonces: string[] = [];
  const self = { sendAgain: (bytes: Buffer) => peer.send(bytes, to) };
  let count = 0;

  /** Sends a command, and does not wait for what becomes of it. */
  async function fire({ handler, ms }: CountedCommand, echo?: Buffer) {
    const number = sent.length;
    const token = `${kid}-${++count}`;
    const request = operator.protect({
      path: `test/${handler}`,
      token,
      contentFormat: JSON_FORMAT,
      payload: JSON.stringify({ number, ms }),
      options: echo === undefined ? [] : [{ number: OPTION.echo, value: echo }],
    });
    const { bytes } = request;
    sent.push({ bytes, number, caller: self });
    await peer.send(bytes, to);
    return { ...request, token };
  }

  type Fired = Awaited<ReturnType<typeof fire>>;

  /** Waits for the protected response, and repeats the request meanwhile; undefined when none comes. */
  async function responseTo({ bytes, token, open }: Fired, waitMs: number) {
    const end = performance.now() + waitMs;
    let resendAt = performance.now() + RESEND_MS;
    while (performance.now() < end) {
      for (const one of await peer.everythingSoFar()) {
        const message = parseMessage(one.bytes);
        if (message.type === 'CON') await peer.send(formatMessage(emptyMessage('ACK', message.messageId)), to);
        // What is not protected may come from anyone.
        if (message.token.toString() !== token || !isProtected(message)) continue;
        const response = open(one.bytes);
        nonces.push(nonceOf(operator.context.recipientIv, partialIvOf(response.number ?? 0)).toString('hex'));
        return response;
      }
      if (performance.now() >= resendAt) {
        await peer.send(bytes, to);
        resendAt += RESEND_MS;
      }
      await rest(LOOK_MS);
    }
    return undefined;
  }

  return {
    fire,
    /** The nonces of all responses that came. */
    nonces,
    /** Sends a command, and shows that it is fresh when it is challenged. @returns the response's code, if one comes */
    async exchange(command: CountedCommand, waitMs: number): Promise<string | undefined> {
      let echo: Buffer | undefined;
      for (let challenges = 0; challenges <= MOST_CHALLENGES; challenges++) {
        const response = await responseTo(await fire(command, echo), waitMs);
        echo = response && findOption(response.options, OPTION.echo);
        if (response?.code !== '4.01' || echo === undefined) return response?.code;
      }
      return 'challenged again and again';
    },
  };
}

const isProtected = ({ options }: CoapMessage): boolean => findOption(options, OPTION.oscore) !== undefined;

/** Somebody on the way, who has all datagrams and no key. */
export async function openAttacker(to: Endpoint, random: SeededRandom) {
  const peer = await openPeer();
  let count = 0;
  return {
    /** The number of datagrams that were sent again. */
    get replays() {
      return count;
    },
    /** Sends requests again: as they were, inside other messages, and from elsewhere. */
    async replay(requests: readonly SentRequest[]): Promise<void> {
      for (const [index, { bytes, caller }] of requests.entries()) {
        await caller.sendAgain(bytes);
        const message = parseMessage(bytes);
        const messageId = 0x8000 + random.integer(0x8000);
        await caller.sendAgain(formatMessage({ ...message, messageId, token: random.bytes(4) }));
        await peer.send(bytes, to);
        count += 3;
        if (index % REPLAYS_AT_ONCE === REPLAYS_AT_ONCE - 1) await rest(REPLAY_REST_MS);
      }
    },
    /** Waits until the agent refuses a request that is not protected: all that came before it has been looked at. */
    async isRefused(waitMs: number): Promise<boolean> {
      const token = random.bytes(4).toString('hex');
      for (const end = performance.now() + waitMs; performance.now() < end; await rest(50)) {
        await peer.send(requestBytes({ method: '0.01', path: 'ping', token }), to);
        await rest(LOOK_MS);
        const all = (await peer.everythingSoFar()).map((one) => parseMessage(one.bytes));
        if (all.some((message) => message.token.toString() === token && message.code === '4.01')) return true;
      }
      return false;
    },
  };
}

export type Attacker = Awaited<ReturnType<typeof openAttacker>>;
