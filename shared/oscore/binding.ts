import { encode } from 'cborg';
import { AEAD, nonceOf } from './aead.js';
import type { SecurityContext } from './context.js';
import { partialIvOf } from './sequence-number.js';

/** What binds responses to their request (RFC 8613 §7.1). Both endpoints keep it until the last response. */
export interface RequestBinding {
  /** The additional authenticated data of the request and of all its responses. */
  readonly aad: Uint8Array;
  /** The request's nonce, which one response may use. */
  readonly nonce: Buffer;
  /** Whether the request has an Observe option; without one its responses have none. */
  readonly observes: boolean;
}

const OSCORE_VERSION = 1;
const NOTHING = Buffer.alloc(0);

/**
 * Encodes the additional authenticated data (RFC 8613 §5.4): the Enc_structure of COSE (RFC 8152 §5.3) around the
 * external_aad. No option is of class I, so none is in it.
 *
 * @param partialIv of the request, as it was sent
 */
export function formatAad(requestKid: Buffer, partialIv: Buffer): Uint8Array {
  const externalAad = encode([OSCORE_VERSION, [AEAD.algorithm], requestKid, partialIv, NOTHING]);
  return encode(['Encrypt0', NOTHING, externalAad]);
}

/** Makes the binding of a request by its kid and Partial IV, and `endpointIv` of its sender. */
export const makeBinding = (kid: Buffer, iv: Buffer, partialIv: Buffer, observes: boolean): RequestBinding => ({
  aad: formatAad(kid, partialIv),
  nonce: nonceOf(iv, partialIv),
  observes,
});

/**
 * Makes the binding of an own request by its sequence number, for example when the process that protected it has ended.
 *
 * @throws RangeError when it is not a sequence number
 */
export const bindingOf = ({ senderId, senderIv }: SecurityContext, number: number, observes = false): RequestBinding =>
  makeBinding(senderId, senderIv, partialIvOf(number), observes);

/**
 * Makes the binding of a received request, for example to answer it after a restart.
 *
 * @param partialIv as it was sent
 */
export const receivedBinding = ({ recipientId, recipientIv }: SecurityContext, partialIv: Buffer): RequestBinding =>
  makeBinding(recipientId, recipientIv, partialIv, false);
