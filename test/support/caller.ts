import { randomBytes, randomInt } from 'node:crypto';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { coapConversation } from '../../sender/request/coap.js';
import type { RequestParams } from '../../sender/request/params.js';
import { plainConversation } from '../../sender/request/plain-formats.js';
import type { RequestEnding } from '../../sender/request/result.js';
import { fromCbor, isRecord } from '../../shared/format/value.js';
import type { openPeer } from './udp.js';

export const CALL_FORMATS = ['text', 'json', 'cbor', 'coap'] as const;
export type CallFormat = (typeof CALL_FORMATS)[number];

/** A reply that says how a command ended. */
export interface Heard {
  readonly ending: RequestEnding;
  /** `done`, or the error code; with `repeat ` before it where the reply says that the command had come before. */
  readonly summary: string;
  readonly bytes: Buffer;
}

/** Who sends commands to a device, and hears what it sends. */
export type Peer = Pick<Awaited<ReturnType<typeof openPeer>>, 'endpoint' | 'send' | 'next' | 'everythingSoFar'>;

/**
 * One command, to be sent in the same datagram as often as one likes; the sender's own code writes and reads.
 *
 * @param deadline Unix seconds
 */
export function createCall(
  peer: Peer,
  to: Endpoint,
  format: CallFormat,
  name: string,
  params?: RequestParams,
  deadline?: number,
) {
  const id = randomBytes(6).toString('hex');
  const common = { name, params, deadline };
  const conversation =
    format === 'coap'
      ? coapConversation({ ...common, get: false, tag: Buffer.from(id, 'hex'), messageId: randomInt(0x10000) })
      : plainConversation({ ...common, format, id });
  let accepted = 0;

  /** What a datagram says of the command, which is acknowledged where that is asked for. */
  async function hear(bytes: Buffer): Promise<Heard | undefined> {
    const sign = conversation.interpret(bytes, true);
    if (sign?.type === 'accepted') accepted++;
    if (sign?.type !== 'end') return undefined;
    if (sign.acknowledge !== undefined) await peer.send(sign.acknowledge, to);
    const { ending } = sign;
    const end = ending.outcome === 'done' ? 'done' : ending.error.code;
    return { ending, summary: saysRepeat(format, bytes) ? `repeat ${end}` : end, bytes };
  }

  const call = {
    id,
    bytes: conversation.bytes,
    send: () => peer.send(conversation.bytes, to),
    /** How often it was told that the reply comes later. */
    get accepted() {
      return accepted;
    },
    /** Waits for the next reply that says how it ended. */
    async end(): Promise<Heard> {
      for (;;) {
        const heard = await hear((await peer.next()).bytes);
        if (heard !== undefined) return heard;
      }
    },
    /** All such replies that have come up to now. */
    async endsSoFar(): Promise<Heard[]> {
      const ends: Heard[] = [];
      for (const { bytes } of await peer.everythingSoFar()) {
        const heard = await hear(bytes);
        if (heard !== undefined) ends.push(heard);
      }
      return ends;
    },
    async repeat(): Promise<Heard> {
      await call.send();
      return call.end();
    },
  };
  return call;
}

export type Call = ReturnType<typeof createCall>;

/** CoAP has no word for it. */
function saysRepeat(format: CallFormat, bytes: Buffer): boolean {
  if (format === 'coap') return false;
  if (format === 'text') return /^#\S+ repeat /.test(bytes.toString());
  const document = format === 'json' ? JSON.parse(bytes.toString()) : fromCbor(bytes);
  return isRecord(document) && document['repeat'] === true;
}
