import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { encode } from 'cborg';
import { AEAD, endpointIv, MAX_ID_BYTES } from './aead.js';
import { MAX_KID_CONTEXT_BYTES } from './option.js';

/** The input parameters of a security context (RFC 8613 §3.2). */
export interface ContextInput {
  readonly masterSecret: Buffer;
  /** Default: empty. */
  readonly masterSalt?: Buffer | undefined;
  /** At most {@link MAX_KID_CONTEXT_BYTES} long, so that it can be sent. An empty one is not the same as none. */
  readonly idContext?: Buffer | undefined;
  /** The ID of this endpoint: 0 to 7 bytes, not the peer's. */
  readonly senderId: Buffer;
  /** The ID of the peer. */
  readonly recipientId: Buffer;
}

/**
 * The part of a security context that never changes (RFC 8613 §3.1): sequence number and replay window are kept apart. The
 * keys are key objects, so that no log and no JSON shows them.
 */
export interface SecurityContext {
  readonly idContext: Buffer | undefined;
  readonly senderId: Buffer;
  readonly recipientId: Buffer;
  readonly senderKey: KeyObject;
  readonly recipientKey: KeyObject;
  /** The Common IV combined with the Sender ID (§5.2). */
  readonly senderIv: Buffer;
  /** The Common IV combined with the Recipient ID. */
  readonly recipientIv: Buffer;
}

const NOTHING = Buffer.alloc(0);

/**
 * Derives a security context (RFC 8613 §3.2.1).
 *
 * @throws RangeError for equal Sender IDs, for what is too long, and for an empty master secret
 */
export function deriveContext(input: ContextInput): SecurityContext {
  checkInput(input);
  const { senderId, recipientId, idContext } = input;
  const commonIv = deriveBytes(input, NOTHING, 'IV', AEAD.nonceBytes);
  return {
    idContext,
    senderId,
    recipientId,
    senderKey: deriveKey(input, senderId),
    recipientKey: deriveKey(input, recipientId),
    senderIv: endpointIv(commonIv, senderId),
    recipientIv: endpointIv(commonIv, recipientId),
  };
}

function checkInput({ masterSecret, idContext, senderId, recipientId }: ContextInput): void {
  if (masterSecret.length === 0) throw new RangeError('the master secret is empty');
  if (senderId.length > MAX_ID_BYTES || recipientId.length > MAX_ID_BYTES) {
    throw new RangeError(`a Sender ID is longer than ${MAX_ID_BYTES} bytes`);
  }
  if (senderId.equals(recipientId)) throw new RangeError('the Sender IDs of both endpoints are equal');
  if (idContext !== undefined && idContext.length > MAX_KID_CONTEXT_BYTES) {
    throw new RangeError(`the ID Context is longer than ${MAX_KID_CONTEXT_BYTES} bytes`);
  }
}

const deriveKey = (input: ContextInput, id: Buffer): KeyObject =>
  createSecretKey(deriveBytes(input, id, 'Key', AEAD.keyBytes));

function deriveBytes(input: ContextInput, id: Buffer, type: 'Key' | 'IV', length: number): Buffer {
  const { masterSecret, masterSalt = NOTHING, idContext = null } = input;
  const info = encode([id, idContext, AEAD.algorithm, type, length]);
  return Buffer.from(hkdfSync('sha256', masterSecret, masterSalt, info, length));
}
