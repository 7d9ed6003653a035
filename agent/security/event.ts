import { randomInt } from 'node:crypto';
import { raceTimeout } from '../../shared/async/with-timeout.js';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { formatMessage } from '../../shared/coap/message.js';
import { OPTION, stringOption, uintOption } from '../../shared/coap/options.js';
import { EVENT_PATH } from '../../shared/coap/path.js';
import { METHOD } from '../../shared/coap/request.js';
import { SupersimError } from '../../shared/errors.js';
import type { Protection } from './protection.js';
import { MAX_WAIT_MS, type SequenceNumbers } from './sequence-numbers.js';

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

  /**
   * @param keyName the name of the key
   * @returns (resolves to) the datagram
   * @throws (rejects) SupersimError `key-invalid`; `numbers-unavailable` when there is no sequence number for long
   */
  return async (keyName: string, { bytes, isJson }: EventPayload): Promise<Buffer> => {
    const options = [
      ...EVENT_PATH.map((segment) => stringOption(OPTION.uriPath, segment)),
      uintOption(OPTION.contentFormat, isJson ? CONTENT_FORMAT.json : CONTENT_FORMAT.bytes),
      uintOption(OPTION.noResponse, NO_RESPONSE),
    ];
    await numberReady();
    const message = protection.protectEvent(keyName, { code: METHOD.post, options, payload: bytes });
    messageId = (messageId + 1) & 0xffff;
    return formatMessage({ type: 'NON', messageId, token: NO_TOKEN, ...message });
  };

  function numberReady(): Promise<void> {
    const ready = new Promise<void>((resolve, reject) => {
      if (!numbers.wait(resolve)) reject(unavailable());
    });
    return raceTimeout(MAX_WAIT_MS, ready, { reason: unavailable });
  }
}

const unavailable = () => new SupersimError('numbers-unavailable', 'the event was not sent');
