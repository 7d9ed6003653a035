import { randomBytes, randomInt } from 'node:crypto';
import { EMPTY_CODE, formatMessage, MessageFormatError, parseMessage } from '../shared/coap/message.js';
import { SupersimError } from '../shared/errors.js';
import { operatorContext, type SharedKey } from '../shared/oscore/identities.js';
import type { MessageParts } from '../shared/oscore/plaintext.js';
import { protectRequest } from '../shared/oscore/request.js';
import { unprotectResponse } from '../shared/oscore/response.js';
import { clockFloor } from '../shared/oscore/sequence-number.js';

const TOKEN_BYTES = 4;
const MESSAGE_IDS = 0x1_0000;

/** A protected request, ready to be sent. */
export interface ProtectedDatagram {
  readonly bytes: Buffer;
  /** Its sequence number. */
  readonly number: number;
  /**
   * Opens its response.
   *
   * @returns undefined for a datagram that is not its response
   * @throws SupersimError `probe-failed` for one that cannot be opened
   */
  open(datagram: Buffer): MessageParts | undefined;
}

/** The holder of a key that a device has too. */
export interface Operator {
  /** Protects a request, with a sequence number that was not used before. */
  protect(request: MessageParts): ProtectedDatagram;
}

/** @throws RangeError when the key's device id or kid is not of the right form */
export function createOperator(key: SharedKey): Operator {
  const context = operatorContext(key);
  let last = -1;
  return {
    protect(request) {
      last = Math.max(last + 1, clockFloor(Date.now()));
      const { message, binding } = protectRequest(context, last, request);
      const token = randomBytes(TOKEN_BYTES);
      return {
        bytes: formatMessage({ type: 'CON', messageId: randomInt(MESSAGE_IDS), token, ...message }),
        number: last,
        open(datagram) {
          const response = responseWith(token, datagram);
          if (response === undefined) return undefined;
          const opened = unprotectResponse(context, binding, response);
          if (opened.ok) return opened.message;
          throw new SupersimError('probe-failed', `the response cannot be opened with the key: ${opened.reason}`);
        },
      };
    },
  };
}

/** Parses a datagram; undefined when it is not a response with this token. */
function responseWith(token: Buffer, datagram: Buffer): MessageParts | undefined {
  try {
    const message = parseMessage(datagram);
    return message.code !== EMPTY_CODE && message.token.equals(token) ? message : undefined;
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}
