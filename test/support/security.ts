import { type DeviceKey, parseKeyFile } from '../../agent/security/key-file.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { operatorContext } from '../../shared/oscore/identities.js';
import { protectRequest } from '../../shared/oscore/request.js';
import { unprotectResponse } from '../../shared/oscore/response.js';
import { clockFloor } from '../../shared/oscore/sequence-number.js';
import { type RequestSetup, requestMessage } from './coap.js';
import { KEY } from './oscore.js';

interface KeySetup {
  readonly name?: string;
  readonly kid?: number;
  readonly allow?: readonly string[] | undefined;
  readonly masterSecret?: Buffer;
  readonly deviceId?: string;
}

/** The text of a key file. */
export const keyFileText = ({ kid, allow, masterSecret, deviceId }: KeySetup = {}): string =>
  JSON.stringify({
    device: deviceId ?? KEY.deviceId,
    kid: kid ?? KEY.kid,
    secret: (masterSecret ?? KEY.masterSecret).toString('hex'),
    allow,
  });

/** A key as a device has it. */
export const testKey = ({ name = 'test', ...setup }: KeySetup = {}): DeviceKey =>
  parseKeyFile(name, keyFileText(setup));

/** The operator who has a key: protects requests, and opens their responses. */
export function startOperator(setup: Pick<KeySetup, 'kid' | 'masterSecret' | 'deviceId'> = {}) {
  const context = operatorContext({ ...KEY, ...setup });
  let last = clockFloor(Date.now());
  let messageId = 0;
  return {
    context,
    /** Protects a request, with the next sequence number unless one is given. */
    protect(setup: RequestSetup & { readonly number?: number; readonly sendsKidContext?: boolean } = {}) {
      const { number = ++last, sendsKidContext = false, ...rest } = setup;
      const plain = requestMessage({ messageId: ++messageId, token: 'op', ...rest });
      const { message, binding } = protectRequest(context, number, plain, { sendsKidContext });
      const bytes = formatMessage({ ...plain, ...message });
      return {
        bytes,
        number,
        messageId: plain.messageId,
        /** Opens a response: how it came, and what it says. */
        open(response: Uint8Array) {
          const outer = parseMessage(Buffer.from(response));
          const opened = unprotectResponse(context, binding, outer);
          if (!opened.ok) throw new Error(`the response cannot be opened: ${opened.reason}`);
          const { type, token, messageId: id } = outer;
          return { ...opened.message, type, token, messageId: id, number: opened.number, ciphertext: outer.payload };
        },
      };
    },
  };
}
