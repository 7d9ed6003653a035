import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';

/** AES-CCM-16-64-128 (RFC 8152 §10.2), which every OSCORE endpoint implements (RFC 8613 §5). */
export const AEAD = {
  /** Its number in the COSE registry. */
  algorithm: 10,
  keyBytes: 16,
  nonceBytes: 13,
  tagBytes: 8,
} as const;

/** A Sender ID is 6 bytes shorter than the nonce (RFC 8613 §3.3). */
export const MAX_ID_BYTES = AEAD.nonceBytes - 6;

const CIPHER = 'aes-128-ccm';
const OPTIONS = { authTagLength: AEAD.tagBytes };

/**
 * Combines the Common IV with an endpoint's ID. The result is the nonce for its Partial IV 0 (RFC 8613 §5.2);
 * {@link nonceOf} makes the other nonces from it.
 *
 * @param id at most {@link MAX_ID_BYTES} long
 */
export function endpointIv(commonIv: Buffer, id: Buffer): Buffer {
  const iv = Buffer.alloc(AEAD.nonceBytes);
  iv[0] = id.length;
  iv.set(id, 1 + MAX_ID_BYTES - id.length);
  return xorInto(iv, commonIv);
}

/**
 * Makes the nonce for a Partial IV (RFC 8613 §5.2).
 *
 * @param iv {@link endpointIv} of the endpoint that chose the Partial IV
 */
export const nonceOf = (iv: Buffer, partialIv: Buffer): Buffer => xorInto(Buffer.from(iv), partialIv);

/** XORs `bytes` into the last bytes of `target`. */
function xorInto(target: Buffer, bytes: Buffer): Buffer {
  const start = target.length - bytes.length;
  for (let index = 0; index < bytes.length; index++) {
    target[start + index] = (target[start + index] ?? 0) ^ (bytes[index] ?? 0);
  }
  return target;
}

/** Encrypts a plaintext and appends the tag (RFC 8152 §5.3). A nonce must never be used twice with one key. */
export function encrypt(key: KeyObject, nonce: Buffer, aad: Uint8Array, plaintext: Buffer): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce, OPTIONS);
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const encrypted = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([encrypted, cipher.getAuthTag()]);
}

/**
 * Decrypts a ciphertext (RFC 8152 §5.3); `node:crypto` compares the tag in constant time.
 *
 * @param ciphertext at least {@link AEAD.tagBytes} long
 * @returns undefined when the tag does not verify
 */
export function decrypt(key: KeyObject, nonce: Buffer, aad: Uint8Array, ciphertext: Buffer): Buffer | undefined {
  const length = ciphertext.length - AEAD.tagBytes;
  const decipher = createDecipheriv(CIPHER, key, nonce, OPTIONS);
  decipher.setAuthTag(ciphertext.subarray(length));
  decipher.setAAD(aad, { plaintextLength: length });
  try {
    const plaintext = decipher.update(ciphertext.subarray(0, length));
    decipher.final();
    return plaintext;
  } catch {
    // Node's error for a wrong tag has no code.
    return undefined;
  }
}
