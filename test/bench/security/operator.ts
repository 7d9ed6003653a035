/** Makes the datagrams of an operator, and of those who are none; bundled for the benchmark. */
import { formatMessage, type Option, parseMessage } from '../../../shared/coap/message.js';
import { findOption, OPTION, stringOption } from '../../../shared/coap/options.js';
import type { RequestBinding } from '../../../shared/oscore/binding.js';
import type { SecurityContext } from '../../../shared/oscore/context.js';
import { operatorContext } from '../../../shared/oscore/identities.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { unprotectResponse } from '../../../shared/oscore/response.js';
import { clockFloor } from '../../../shared/oscore/sequence-number.js';

export const DEVICE = '8988307000000000000';
const KID = 1;

/** A request, and what opens its response. */
export interface Prepared {
  readonly bytes: Buffer;
  /** Returns the code of a response and its Echo option; undefined where it cannot be opened. */
  readonly open: (response: Buffer) => { readonly code: string; readonly echo: Buffer | undefined } | undefined;
}

/** @param secret in hexadecimal */
export function createOperator(secret: string, kid = KID) {
  const context = operatorContext({ masterSecret: Buffer.from(secret, 'hex'), deviceId: DEVICE, kid });
  let number = clockFloor(Date.now());
  let messageId = 0;

  /** A confirmable POST to `/ping`; the token is the number of the request. */
  function post(token: number, options: readonly Option[] = []): Prepared {
    const head = { type: 'CON', messageId: messageId++ & 0xffff, token: tokenOf(token) } as const;
    const plain = {
      code: '0.02',
      options: [stringOption(OPTION.uriPath, 'ping'), ...options],
      payload: Buffer.alloc(0),
    };
    const { message, binding } = protectRequest(context, ++number, plain);
    return { bytes: formatMessage({ ...head, ...message }), open: (response) => open(context, binding, response) };
  }

  return { post, postWithEcho: (token: number, value: Buffer) => post(token, [{ number: OPTION.echo, value }]) };
}

function tokenOf(number: number): Buffer {
  const token = Buffer.alloc(4);
  token.writeUInt32BE(number);
  return token;
}

function open(context: SecurityContext, binding: RequestBinding, response: Buffer): ReturnType<Prepared['open']> {
  const opened = unprotectResponse(context, binding, parseMessage(response));
  return opened.ok ? { code: opened.message.code, echo: findOption(opened.message.options, OPTION.echo) } : undefined;
}
