import { createHmac } from 'node:crypto';
import type { RequestIdentity } from '../request/request.js';

/**
 * The identity of a broadcast's request to a SIM: the same each time, so that nothing of it must be written down before
 * it is sent, and not to be guessed.
 *
 * @param seed of the broadcast, by chance
 */
export function identityOf(seed: Uint8Array, sim: string): RequestIdentity {
  const bytes = createHmac('sha256', seed).update(sim).digest();
  return { tag: bytes.subarray(0, 6), messageId: bytes.readUInt16BE(6) };
}
