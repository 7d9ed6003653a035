/** Content formats (RFC 7252 §12.3, RFC 8949 §9.5). */
export const CONTENT_FORMAT = {
  text: 0,
  links: 40,
  bytes: 42,
  json: 50,
  cbor: 60,
} as const;

export type ContentFormat = (typeof CONTENT_FORMAT)[keyof typeof CONTENT_FORMAT];

const KNOWN: readonly number[] = Object.values(CONTENT_FORMAT);

export const isContentFormat = (number: number): number is ContentFormat => KNOWN.includes(number);
