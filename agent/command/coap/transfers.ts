import { type Block, blockSize, sliceBlock } from '../../../shared/coap/block.js';
import type { CoapRequest } from '../../../shared/coap/request.js';
import type { CoapResponse } from '../../../shared/coap/response.js';

/** Longest body of a request that comes in blocks. */
export const MAX_BODY_BYTES = 65_536;
/** Most block-wise transfers in progress, of requests or of responses; the oldest is dropped. */
const MAX_TRANSFERS = 64;
/** Most bytes of all of them. */
export const MAX_TRANSFER_BYTES = 1_048_576;

/** Returns the key of a transfer: peer, method, path, query and Request-Tag (RFC 7959 §2.4, RFC 9175 §3.3). */
export function transferKey(peer: string, { method, path, query, requestTag }: CoapRequest): string {
  return JSON.stringify([peer, method, path, query, requestTag?.toString('hex')]);
}

interface Kept<T> {
  readonly value: T;
  readonly bytes: number;
  readonly expiresAt: number;
}

/** A store bounded in entries, bytes and age; the oldest entry is dropped. */
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

/** A request body in progress (Block1). */
interface Incoming {
  readonly parts: Buffer[];
  readonly bytes: number;
  readonly contentFormat: number | undefined;
}

/** The result of one block of a request: the whole body, or the code to answer. */
export type Assembled = { readonly body: Buffer } | { readonly code: '2.31' | '4.00' | '4.08' | '4.13' };

/** Keeps block-wise transfers of requests and responses. `lifetimeMs` is how long one stays without a further block. */
export function createTransfers() {
  const incoming = createShelf<Incoming>();
  const outgoing = createShelf<CoapResponse>();

  return {
    /**
     * Adds one block of a request (RFC 7959 §2.5). Blocks are accepted in order only; block 0 restarts the transfer.
     */
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

    /** Keeps a response that does not fit one block, for the requests of its further blocks. */
    keep(key: string, response: CoapResponse, now: number, lifetimeMs: number): void {
      outgoing.set(key, response, response.payload.length, now + lifetimeMs);
    },

    /** Returns the response kept for a request. */
    kept: (key: string, now: number): CoapResponse | undefined => outgoing.get(key, now),
  };
}

export type Transfers = ReturnType<typeof createTransfers>;

/** Returns one block of a response: its payload, whether more follow, and the ETag that its blocks share. */
export function blockOf(response: CoapResponse, number: number, exponent: number) {
  const slice = sliceBlock(response.payload, number, exponent);
  return slice && { ...slice, eTag: fingerprint(response.payload) };
}

/** FNV-1a, 32 bits: distinguishes one body from the next; not a cryptographic digest. */
function fingerprint(bytes: Buffer): Buffer {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  const tag = Buffer.alloc(4);
  // Unsigned: an XOR yields a signed number, and the initial value is above the signed range.
  tag.writeUInt32BE(hash >>> 0);
  return tag;
}
