import fc from 'fast-check';
import { type CoapMessage, MessageFormatError, type Option, parseMessage } from '../../shared/coap/message.js';
import { OPTION } from '../../shared/coap/options.js';
import type { SecurityContext } from '../../shared/oscore/context.js';
import { deviceContext, deviceMasterSecret, operatorContext } from '../../shared/oscore/identities.js';
import { isOuterOption } from '../../shared/oscore/option-classes.js';
import type { MessageParts } from '../../shared/oscore/plaintext.js';
import { parseProtectedRequest, unprotectRequest } from '../../shared/oscore/request.js';
import { MAX_SEQUENCE_NUMBER } from '../../shared/oscore/sequence-number.js';
import type { SeededRandom } from './seed.js';

const DEVICE_ID = '8988307000000000000';
export const KEY = {
  masterSecret: deviceMasterSecret(Buffer.alloc(32, 7), DEVICE_ID),
  deviceId: DEVICE_ID,
  kid: 1,
} as const;

/** The two ends of one key. */
export const DEVICE = deviceContext(KEY);
export const OPERATOR = operatorContext(KEY);

const optionNumber = fc.oneof(fc.constantFrom(...Object.values(OPTION)), fc.integer({ min: 0, max: 65_535 }));

/** Any option that a message may have before it is protected. */
const option: fc.Arbitrary<Option> = fc
  .record({ number: optionNumber, value: fc.uint8Array({ maxLength: 300 }) })
  .filter(({ number }) => number !== OPTION.oscore && number !== OPTION.proxyUri)
  .map(({ number, value }) => ({ number, value: Buffer.from(value) }));

const inOrder = (options: readonly Option[]): Option[] => options.toSorted((one, other) => one.number - other.number);

const partsWith = (code: fc.Arbitrary<string>): fc.Arbitrary<MessageParts> =>
  fc.record({
    code,
    options: fc.array(option, { maxLength: 6 }).map(inOrder),
    payload: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  });

const codeOf = (first: number, second: number) => `${first}.${String(second).padStart(2, '0')}`;

/** Any request, its options in the order of their numbers. */
export const anyRequest = partsWith(fc.integer({ min: 1, max: 31 }).map((detail) => codeOf(0, detail)));

/** Any response, likewise. */
export const anyResponse = partsWith(
  fc.tuple(fc.constantFrom(2, 4, 5), fc.nat(31)).map(([first, second]) => codeOf(first, second)),
);

/** Any sequence number, of each length of Partial IV. */
export const anyNumber = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: MAX_SEQUENCE_NUMBER }),
  fc.integer({ min: 1, max: 5 }).map((bytes) => 2 ** (8 * bytes) - 1),
);

/** All copies of `bytes` with one bit flipped. */
export function flips(bytes: Buffer): Buffer[] {
  return Array.from({ length: 8 * bytes.length }, (_, bit) => {
    const flipped = Buffer.from(bytes);
    const at = bit >> 3;
    flipped[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    return flipped;
  });
}

/** All protected messages that differ from one in a bit of the code, the OSCORE option or the ciphertext. */
export function flippedMessages(message: MessageParts): MessageParts[] {
  const { code, options, payload } = message;
  const codeByte = Buffer.of((Number(code[0]) << 5) | Number(code.slice(2)));
  const withOption = (value: Buffer) =>
    options.map((option) => (option.number === OPTION.oscore ? { ...option, value } : option));
  const value = options.find(({ number }) => number === OPTION.oscore)?.value ?? Buffer.alloc(0);
  return [
    ...flips(codeByte).map(([byte = 0]) => ({ ...message, code: codeOf(byte >> 5, byte & 31) })),
    ...flips(value).map((flipped) => ({ ...message, options: withOption(flipped) })),
    ...flips(payload).map((flipped) => ({ ...message, payload: flipped })),
  ];
}

/** What of a message is authenticated when it has been protected. */
export const authenticPart = ({ code, options, payload }: MessageParts): MessageParts => ({
  code,
  options: options.filter(({ number }) => !isOuterOption(number)),
  payload,
});

/** Replaces, removes, inserts or cuts bytes, one to three times. */
export function mutate(given: Buffer, { integer, bytes }: SeededRandom): Buffer {
  let mutated = given;
  for (let count = 1 + integer(3); count > 0; count--) {
    const at = integer(mutated.length + 1);
    const removed = integer(4) === 0 ? mutated.length : integer(4);
    mutated = Buffer.concat([mutated.subarray(0, at), bytes(integer(4)), mutated.subarray(at + removed)]);
  }
  return mutated;
}

/** Parses a CoAP message that may be malformed. */
export function parseMutated(bytes: Buffer): CoapMessage | undefined {
  try {
    return parseMessage(bytes);
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}

/** Decrypts a request as a server with one context does. */
export function openRequest(context: SecurityContext, message: MessageParts) {
  const parsed = parseProtectedRequest(message);
  return parsed.ok ? unprotectRequest(context, parsed.request) : parsed;
}
