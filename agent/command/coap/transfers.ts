import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Block, blockSize, sliceBlock } from '../../../shared/coap/block.js';
import { parametersOf } from '../../../shared/coap/parameters.js';
import type { CoapRequest } from '../../../shared/coap/request.js';
import type { CoapResponse } from '../../../shared/coap/response.js';
import { ownCopy, withRoom } from '../../base/memory.js';
import type { Caller } from '../../security/authorize.js';
import { createShelf } from './shelf.js';

/** Longest body of a request that comes in blocks. */
export const MAX_BODY_BYTES = 65_536;
/** Longest response that is kept for its blocks: the most output of a program that is kept, and a cut mark. */
export const MAX_RESPONSE_BYTES = 1_048_576 + 1024;
/** Bounds of the requests that are in progress. */
export const REQUEST_BOUNDS = { entries: 64, bytes: 1_048_576 };
/** Bounds of the responses that are kept: the share of one address has room for the longest. */
export const RESPONSE_BOUNDS = { entries: 64, bytes: 2 * MAX_RESPONSE_BYTES };

/** Who sent a request. */
export interface Requester {
  /** `gateway` for everything from the carrier, else `address:port`. */
  readonly name: string;
  /** The IP address that the request came from, also for the carrier. */
  readonly address: string;
  readonly caller: Caller;
}

/**
 * Returns how long a transfer is kept without a block: MAX_TRANSMIT_WAIT, 93 s for direct peers and 315 s through the
 * gateway. That is twice MAX_TRANSMIT_SPAN and one first time-out (RFC 7252 §4.8.2): enough where all responses to one
 * block are lost but that to the last retransmission, and then all transmissions of the next block but the last.
 */
const idleMsOf = ({ name }: Pick<Requester, 'name'>): number => parametersOf(name).maxTransmitWait;

/**
 * Returns the key of a transfer: a digest, as paths can be long, of peer, method, path, query and Request-Tag (RFC 7959
 * §2.4, RFC 9175 §3.3), and of the key of a protected one: nobody else may add to it or read it.
 */
export function transferKey({ name, caller }: Requester, { method, path, query, requestTag }: CoapRequest): string {
  const holder = caller.kind === 'key' ? caller.key.fingerprint : null;
  return hash('sha256', JSON.stringify([name, holder, method, path, query, requestTag?.toString('hex')]), 'base64');
}

/** A request body in progress (Block1). */
interface Incoming {
  /** Its bytes so far, and room for more. */
  readonly memory: Buffer<ArrayBuffer>;
  readonly length: number;
  readonly contentFormat: number | undefined;
  /** The sequence number of its last block, where that was protected. */
  readonly number: number | undefined;
}

/** The result of one block of a request: the whole body, or the code to answer. */
export type Assembled = { readonly body: Buffer } | { readonly code: '2.31' | '4.00' | '4.08' | '4.13' };

/**
 * Keeps block-wise transfers of requests and responses, each kind within its bounds. A transfer counts on the share of
 * the address that began it, whatever address its later blocks come from.
 *
 * @param onDrop called when a request is given up for others before its last block has come
 */
export function createTransfers(onDrop?: () => void) {
  const incoming = createShelf<Incoming>(REQUEST_BOUNDS, onDrop);
  const outgoing = createShelf<CoapResponse>(RESPONSE_BOUNDS);

  return {
    /**
     * Adds one block of a request (RFC 7959 §2.5). Blocks are accepted in order only; block 0 restarts the transfer.
     */
    assemble(request: CoapRequest, block: Block, peer: Requester, now: number): Assembled {
      const key = transferKey(peer, request);
      const { payload, contentFormat, size1 } = request;
      const size = blockSize(block.exponent);
      if (block.more ? payload.length !== size : payload.length > size) return { code: '4.00' };
      const kept = block.number === 0 ? undefined : incoming.get(key, now);
      const number = peer.caller.kind === 'key' ? peer.caller.number : undefined;
      const before =
        block.number === 0 ? { memory: NOTHING, length: 0, contentFormat, number: undefined } : kept?.value;
      // Without a Request-Tag, one that was held back would be taken for a block of a later transfer (RFC 9175 §3.1).
      if (before?.number !== undefined && (number ?? 0) < before.number) return { code: '4.08' };
      // Its acknowledgement was lost; block 0 begins anew in any case.
      if (before !== undefined && block.more && isLastOf(before, block.number * size, payload)) return { code: '2.31' };
      if (before === undefined || before.length !== block.number * size || before.contentFormat !== contentFormat) {
        return { code: '4.08' };
      }
      const length = before.length + payload.length;
      if (length > MAX_BODY_BYTES || (size1 !== undefined && size1 > MAX_BODY_BYTES)) {
        incoming.remove(key);
        return { code: '4.13' };
      }
      if (!block.more) {
        incoming.remove(key);
        return { body: Buffer.concat([before.memory.subarray(0, before.length), payload]) };
      }
      const memory = withRoom(before.memory, length);
      memory.set(payload, before.length);
      const value = { memory, length, contentFormat, number };
      const address = kept?.address ?? peer.address;
      incoming.set(key, { value, address, bytes: memory.length, expiresAt: now + idleMsOf(peer) }, now);
      return { code: '2.31' };
    },

    /** Keeps a response that does not fit one block, for the requests of its further blocks. */
    keep(request: CoapRequest, response: CoapResponse, peer: Requester, now: number): void {
      const { length } = response.payload;
      const value = { ...response, payload: ownCopy(response.payload) };
      const expiresAt = now + idleMsOf(peer);
      outgoing.set(transferKey(peer, request), { value, address: peer.address, bytes: length, expiresAt }, now);
    },

    /** Returns the response kept for a request, which is the next sign of life of its transfer. */
    kept(request: CoapRequest, peer: Requester, now: number): CoapResponse | undefined {
      const key = transferKey(peer, request);
      const kept = outgoing.get(key, now);
      if (kept !== undefined) outgoing.set(key, { ...kept, expiresAt: now + idleMsOf(peer) }, now);
      return kept?.value;
    },
  };
}

const NOTHING = Buffer.alloc(0);

/** Tells whether a block is the one that came last. */
const isLastOf = ({ memory, length }: Incoming, at: number, payload: Buffer): boolean =>
  at + payload.length === length && memory.subarray(at, length).equals(payload);

export type Transfers = ReturnType<typeof createTransfers>;

/** Returns one block of a response: its payload, whether more follow, and the ETag that its blocks share. */
export function blockOf(response: CoapResponse, number: number, exponent: number) {
  const slice = sliceBlock(response.payload, number, exponent);
  return slice && { ...slice, eTag: fingerprint(response.payload) };
}

/** Distinguishes one body from the next; not a cryptographic digest. */
function fingerprint(bytes: Buffer): Buffer {
  const tag = Buffer.alloc(4);
  tag.writeUInt32BE(crc32(bytes));
  return tag;
}
