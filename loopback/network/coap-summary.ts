import { type CoapMessage, MessageFormatError, parseMessage } from '../../shared/coap/message.js';
import { detectFormat } from '../../shared/format/detect.js';
import { readFields } from '../../shared/oscore/protected-message.js';
import { sequenceNumberOf } from '../../shared/oscore/sequence-number.js';

/** What can be seen of a CoAP message without a key. */
export interface CoapSummary {
  /** `0.02`, `2.05`, …; that of a protected message is the outer one, which says nothing of what it contains. */
  readonly code: string;
  /** Set when the message is protected by OSCORE (RFC 8613). */
  readonly oscore?: OscoreSummary;
}

/** The header of a protected message. */
export interface OscoreSummary {
  /** The sender’s ID in hexadecimal, which only requests have. A device’s own is empty. */
  readonly kid?: string;
  /** The sequence number; not every response has one. */
  readonly number?: number;
  /** Why no receiver can open the message. */
  readonly problem?: 'malformed' | 'outer-block';
}

/** Returns the member of an event that says what can be seen of a payload in CoAP; none for other payloads. */
export function coapOf(payload: Buffer): { readonly coap?: CoapSummary } {
  const message = coapMessageOf(payload);
  if (message === undefined) return {};
  const oscore = oscoreOf(message);
  return { coap: { code: message.code, ...(oscore && { oscore }) } };
}

/** Responses are not detected as CoAP: every payload that is neither CoAP nor another format may be one. */
function coapMessageOf(payload: Buffer): CoapMessage | undefined {
  const format = detectFormat(payload);
  if (format !== 'coap' && format !== 'malformed') return undefined;
  try {
    return parseMessage(payload);
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}

function oscoreOf(message: CoapMessage): OscoreSummary | undefined {
  const fields = readFields(message);
  if (fields === 'not-oscore') return undefined;
  if (typeof fields === 'string') return { problem: fields };
  const { kid, partialIv } = fields;
  return {
    ...(kid && { kid: kid.toString('hex') }),
    ...(partialIv && { number: sequenceNumberOf(partialIv) }),
  };
}

/** Describes a CoAP message in a few words: its code, or that it is protected, with whose key and which number. */
export function describeCoap({ code, oscore }: CoapSummary): string {
  if (oscore === undefined) return `CoAP ${code}`;
  const { kid, number, problem } = oscore;
  const details = [
    ...(problem === undefined ? [] : [problem]),
    ...(kid === undefined ? [] : [`kid ${kid || 'empty'}`]),
    ...(number === undefined ? [] : [`number ${number}`]),
  ];
  return details.length === 0 ? 'protected' : `protected (${details.join(', ')})`;
}
