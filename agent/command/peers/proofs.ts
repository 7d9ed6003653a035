import { createEchoValues } from '../../security/echo.js';

/** How long an address counts as proven, in milliseconds: later it may be another's. */
export const PROOF_MS = 3_600_000;
/** Most proven addresses. When there are so many, no further one is taken until one expires: none can be driven out. */
export const MAX_PROVEN = 1024;

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
  const echoes = createEchoValues(now);
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

  return {
    has,
    add,
    echoFor: (address) => echoes.valueFor(address),
    takeEcho(address, value) {
      if (echoes.isOurs(address, value)) add(address);
    },
  };
}
