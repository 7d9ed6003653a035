import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** How long an Echo value can be returned, in milliseconds. */
export const ECHO_MS = 300_000;

const KEY_BYTES = 32;
const TIME_BYTES = 4;
/** 64 bits: more than can be guessed by sending datagrams. */
const MAC_BYTES = 8;

/** Values of the Echo option (RFC 9175 §2.2): integrity-protected times (appendix A), of which nothing is kept. */
export interface EchoValues {
  /** Returns a value. @param subject whom it is for: an address, or a key */
  valueFor(subject: string): Buffer;
  /** Tells whether a value was made for this subject, by this run of the agent, less than {@link ECHO_MS} ago. */
  isOurs(subject: string, value: Uint8Array): boolean;
}

/** @param now the monotonic clock in milliseconds */
export function createEchoValues(now: () => number = () => performance.now()): EchoValues {
  const key = randomBytes(KEY_BYTES);
  const seconds = () => Math.floor(now() / 1000);

  function valueAt(time: number, subject: string): Buffer {
    const head = Buffer.alloc(TIME_BYTES);
    head.writeUInt32BE(time);
    const mac = createHmac('sha256', key).update(head).update(subject).digest();
    return Buffer.concat([head, mac.subarray(0, MAC_BYTES)]);
  }

  return {
    valueFor: (subject) => valueAt(seconds(), subject),
    isOurs(subject, value) {
      if (value.length !== TIME_BYTES + MAC_BYTES) return false;
      const made = Buffer.from(value).readUInt32BE();
      const isFresh = made <= seconds() && seconds() - made < ECHO_MS / 1000;
      return isFresh && timingSafeEqual(valueAt(made, subject), value);
    },
  };
}
