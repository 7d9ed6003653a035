import { randomInt } from 'node:crypto';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { formatMessage } from '../../shared/coap/message.js';
import { OPTION, stringOption, uintOption } from '../../shared/coap/options.js';
import { EVENT_PATH } from '../../shared/coap/path.js';
import { METHOD } from '../../shared/coap/request.js';
import { SupersimError } from '../../shared/errors.js';
import type { Protection } from './protection.js';
import type { SequenceNumbers } from './sequence-numbers.js';

/** RFC 7967 §2.1: no response of any class is wanted. */
const NO_RESPONSE = 2 + 8 + 16;
const NO_TOKEN = Buffer.alloc(0);

/** What an event says: JSON, or bytes as they are. */
export interface EventPayload {
  readonly bytes: Buffer;
  readonly isJson: boolean;
}

/** Protects events: each is a non-confirmable POST of the device, under one of its keys. */
export function createEventProtection(
  protection: Pick<Protection, 'protectEvent'>,
  numbers: Pick<SequenceNumbers, 'wait'>,
) {
  let messageId = randomInt(0x10000);

  function protect(keyName: string, { bytes, isJson }: EventPayload): Buffer {
    const options = [
      ...EVENT_PATH.map((segment) => stringOption(OPTION.uriPath, segment)),
      uintOption(OPTION.contentFormat, isJson ? CONTENT_FORMAT.json : CONTENT_FORMAT.bytes),
      uintOption(OPTION.noResponse, NO_RESPONSE),
    ];
    const message = protection.protectEvent(keyName, { code: METHOD.post, options, payload: bytes });
    messageId = (messageId + 1) & 0xffff;
    return formatMessage({ type: 'NON', messageId, token: NO_TOKEN, ...message });
  }

  /**
   * @param keyName the name of the key
   * @returns (resolves to) the datagram
   * @throws (rejects) SupersimError `key-invalid`; `numbers-unavailable` when there is no sequence number for long
   */
  return (keyName: string, payload: EventPayload): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const protectNow = () => {
        try {
          resolve(protect(keyName, payload));
        } catch (error) {
          reject(error);
        }
      };
      const giveUp = () => reject(new SupersimError('numbers-unavailable', 'the event was not sent'));
      numbers.wait(protectNow, giveUp);
    });
}
