import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** How long an address counts as proven, in milliseconds: later it may be another's. */
export const PROOF_MS = 3_600_000;
/** How long an Echo value can be returned, in milliseconds. */
export const ECHO_MS = 300_000;
/** Most proven addresses. When there are so many, no further one is taken until one expires: none can be driven out. */
export const MAX_PROVEN = 1024;

const KEY_BYTES = 32;
const TIME_BYTES = 4;
/** 64 bits: more than can be guessed by sending datagrams. */
const MAC_BYTES = 8;

/**
 * The addresses of direct peers that have shown that they receive there. An address counts without its port: replies to
 * a forged address burden a host, and a client's next request comes from another port.
 */
export interface Proofs {
  has(address: string): boolean;
  /** Remembers an address whose peer has acknowledged a confirmable message. */
  add(address: string): void;
  /** Returns an Echo value (RFC 9175 §2.2) for an address; nothing is kept of it. */
  echoFor(address: string): Buffer;
  /** Remembers an address that returns an Echo value of its own. */
  takeEcho(address: string, value: Uint8Array): void;
}

/** @param now the monotonic clock in milliseconds */
export function createProofs(now: () => number = () => performance.now()): Proofs {
  const key = randomBytes(KEY_BYTES);
  /** When each address expires, oldest first. */
  const proven = new Map<string, number>();

  function has(address: string): boolean {
    const expiresAt = proven.get(address);
    return expiresAt !== undefined && now() < expiresAt;
  }

  function add(address: string): void {
    for (const [known, expiresAt] of proven) {
      if (now() < expiresAt) break;
      proven.delete(known);
    }
    if (proven.size < MAX_PROVEN && !proven.has(address)) proven.set(address, now() + PROOF_MS);
  }

  /** An integrity-protected time (RFC 9175 appendix A), which is bound to the address (§2.3). */
  function echoAt(seconds: number, address: string): Buffer {
    const time = Buffer.alloc(TIME_BYTES);
    time.writeUInt32BE(seconds);
    const mac = createHmac('sha256', key).update(time).update(address).digest();
    return Buffer.concat([time, mac.subarray(0, MAC_BYTES)]);
  }

  const seconds = () => Math.floor(now() / 1000);

  return {
    has,
    add,
    echoFor: (address) => echoAt(seconds(), address),
    takeEcho(address, value) {
      if (value.length !== TIME_BYTES + MAC_BYTES) return;
      const made = Buffer.from(value).readUInt32BE();
      const isFresh = made <= seconds() && seconds() - made < ECHO_MS / 1000;
      if (isFresh && timingSafeEqual(echoAt(made, address), value)) add(address);
    },
  };
}
