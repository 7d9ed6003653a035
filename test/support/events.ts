import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { formatMessage, type MessageType } from '../../shared/coap/message.js';
import { OPTION, stringOption, uintOption } from '../../shared/coap/options.js';
import { EVENT_PATH } from '../../shared/coap/path.js';
import { toJson } from '../../shared/format/value.js';
import { deviceContext, type SharedKey } from '../../shared/oscore/identities.js';
import { protectRequest } from '../../shared/oscore/request.js';

interface EventSetup {
  readonly number: number;
  readonly type?: MessageType;
  readonly code?: string;
  readonly path?: readonly string[];
  /** Default: an event in JSON, with the number as its data. */
  readonly body?: Buffer;
  readonly sendsKidContext?: boolean;
}

/** A protected event of a device, as its datagram. */
export function protectEvent(key: SharedKey, setup: EventSetup): Buffer {
  const { number, type = 'NON', code = '0.02', path = EVENT_PATH, sendsKidContext = false } = setup;
  const body = setup.body ?? Buffer.from(toJson({ event: 'counted', data: number }));
  const options = [
    ...path.map((segment) => stringOption(OPTION.uriPath, segment)),
    uintOption(OPTION.contentFormat, CONTENT_FORMAT.json),
  ];
  const { message } = protectRequest(deviceContext(key), number, { code, options, payload: body }, { sendsKidContext });
  return formatMessage({ type, messageId: number & 0xffff, token: Buffer.alloc(0), ...message });
}
