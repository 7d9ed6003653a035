import { type Block, blockSize, sliceBlock } from '../../../shared/coap/block.js';
import type { CoapRequest } from '../../../shared/coap/request.js';
import type { CoapResponse } from '../../../shared/coap/response.js';

/** Longest body that a request may be put together to. */
export const MAX_BODY_BYTES = 65_536;
/** Most bodies, coming in or going out, that are in progress at once; the oldest gives way. */
const MAX_TRANSFERS = 64;
/** Most bytes of all of them, and so of one. */
export const MAX_TRANSFER_BYTES = 1_048_576;

/** What a transfer is known by: peer, method, path, query and Request-Tag (RFC 7959 §2.4, RFC 9175 §3.3). */
export function transferKey(peer: string, { method, path, query, requestTag }: CoapRequest): string {
  return JSON.stringify([peer, method, path, query, requestTag?.toString('hex')]);
}

interface Kept<T> {
  readonly value: T;
  readonly bytes: number;
  readonly expiresAt: number;
}

/** Things kept for a while, bounded in number, bytes and age; the oldest gives way. */
function createShelf<T>() {
  const shelf = new Map<string, Kept<T>>();
  let bytes = 0;
  const remove = (key: string): void => {
    bytes -= shelf.get(key)?.bytes ?? 0;
    shelf.delete(key);
  };
  return {
    get(key: string, now: number): T | undefined {
      const kept = shelf.get(key);
      if (kept === undefined || now < kept.expiresAt) return kept?.value;
      remove(key);
      return undefined;
    },
    set(key: string, value: T, size: number, expiresAt: number): void {
      remove(key);
      shelf.set(key, { value, bytes: size, expiresAt });
      bytes += size;
      for (const oldest of shelf.keys()) {
        if (shelf.size <= MAX_TRANSFERS && bytes <= MAX_TRANSFER_BYTES) break;
        remove(oldest);
      }
    },
    remove,
  };
}

/** A body that is coming in (Block1). */
interface Incoming {
  readonly parts: Buffer[];
  readonly bytes: number;
  readonly contentFormat: number | undefined;
}

/** What a block of a request's body leads to: a response at once, or the whole body. */
export type Assembled = { readonly body: Buffer } | { readonly code: '2.31' | '4.00' | '4.08' | '4.13' };

/** Bodies in several blocks, both ways; `lifetimeMs` is how long one in progress is kept without a further block. */
export function createTransfers() {
  const incoming = createShelf<Incoming>();
  const outgoing = createShelf<CoapResponse>();

  return {
    /** Takes one block of a request's body (RFC 7959 §2.5). Blocks come in their order; the first begins anew. */
    assemble(key: string, request: CoapRequest, block: Block, now: number, lifetimeMs: number): Assembled {
      const { payload, contentFormat, size1 } = request;
      const size = blockSize(block.exponent);
      if (block.more ? payload.length !== size : payload.length > size) return { code: '4.00' };
      const before = block.number === 0 ? { parts: [], bytes: 0, contentFormat } : incoming.get(key, now);
      if (before === undefined || before.bytes !== block.number * size || before.contentFormat !== contentFormat) {
        return { code: '4.08' };
      }
      const bytes = before.bytes + payload.length;
      if (bytes > MAX_BODY_BYTES || (size1 !== undefined && size1 > MAX_BODY_BYTES)) {
        incoming.remove(key);
        return { code: '4.13' };
      }
      const { parts } = before;
      parts.push(Buffer.from(payload));
      if (block.more) {
        incoming.set(key, { parts, bytes, contentFormat }, bytes, now + lifetimeMs);
        return { code: '2.31' };
      }
      incoming.remove(key);
      return { body: Buffer.concat(parts) };
    },

    /** Keeps a response whose payload does not fit one block, for the requests that ask for the others. */
    keep(key: string, response: CoapResponse, now: number, lifetimeMs: number): void {
      outgoing.set(key, response, response.payload.length, now + lifetimeMs);
    },

    /** The response that is kept for a request. */
    kept: (key: string, now: number): CoapResponse | undefined => outgoing.get(key, now),
  };
}

export type Transfers = ReturnType<typeof createTransfers>;

/** One block of a response: its payload, whether there are more, and the tag that all blocks of it share. */
export function blockOf(response: CoapResponse, number: number, exponent: number) {
  const slice = sliceBlock(response.payload, number, exponent);
  return slice && { ...slice, eTag: fingerprint(response.payload) };
}

/** FNV-1a, 32 bits: tells one body from the next; it is no protection. */
function fingerprint(bytes: Buffer): Buffer {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  const tag = Buffer.alloc(4);
  // An XOR makes a signed number of it; what no byte has changed is unsigned.
  tag.writeUInt32BE(hash >>> 0);
  return tag;
}
