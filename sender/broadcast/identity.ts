import { createHmac } from 'node:crypto';
import type { RequestIdentity } from '../request/request.js';

/**
 * Derives the identity of a broadcast's request to a SIM: always the same, so that it need not be stored before the
 * request is sent, and not to be guessed.
 *
 * @param seed random bytes of the broadcast
 */
export function requestIdentityOf(seed: Uint8Array, sim: string): RequestIdentity {
  const bytes = createHmac('sha256', seed).update(sim).digest();
  return { tag: bytes.subarray(0, 6), messageId: bytes.readUInt16BE(6) };
}
