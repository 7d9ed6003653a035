import type { CoapMessage } from '../../shared/coap/message.js';
import { findOption, OPTION } from '../../shared/coap/options.js';
import { SupersimError } from '../../shared/errors.js';
import { type RequestBinding, receivedBinding } from '../../shared/oscore/binding.js';
import type { MessageParts } from '../../shared/oscore/plaintext.js';
import { isOwnContext, type RefusalReason } from '../../shared/oscore/protected-message.js';
import {
  type ProtectedRequest,
  parseProtectedRequest,
  protectRequest,
  unprotectRequest,
} from '../../shared/oscore/request.js';
import { protectResponse } from '../../shared/oscore/response.js';
import type { Caller } from './authorize.js';
import type { DeviceKey } from './key-file.js';
import type { ReplayGuard } from './replay-guard.js';
import type { SequenceNumbers } from './sequence-numbers.js';

/** Why a protected request is refused. */
export type ProtectedRefusal = Exclude<RefusalReason, 'not-oscore'> | 'replay';

/** What is kept of a protected request to answer it after a restart. */
export interface ProtectedOrigin {
  /** The fingerprint of its key. */
  readonly key: string;
  /** As it was sent, in hexadecimal. */
  readonly partialIv: string;
}

/** A request that was verified and decrypted, and the way to protect its response. */
export interface OpenedRequest {
  readonly message: MessageParts;
  readonly caller: Caller & { kind: 'key' };
  readonly origin: ProtectedOrigin;
  /** Draws the number of the response in advance. @returns whether there is one */
  hold(): boolean;
  /** Protects a response with a number of its own; undefined where none can be drawn. */
  protect(parts: MessageParts): MessageParts | undefined;
}

/** What a protected request is found to be. */
export type Opened =
  | { readonly kind: 'refused'; readonly reason: ProtectedRefusal; readonly key: DeviceKey | undefined }
  /** It is verified. When it is `fresh`, {@link Protection.accept} it before anything else is opened. */
  | { readonly kind: 'fresh'; readonly request: OpenedRequest }
  /** It is verified, but may be old: it must be challenged. */
  | { readonly kind: 'unknown'; readonly request: OpenedRequest };

/** Verifies and opens requests, and protects responses and events, with the keys of this device. */
export interface Protection {
  open(message: CoapMessage): Opened;
  /** Opens a request that was accepted before, to answer it again. */
  reopen(message: CoapMessage): OpenedRequest | undefined;
  /** Accepts a fresh request. */
  accept(request: OpenedRequest): void;
  /** Tells whether a request may be challenged; see {@link ReplayGuard.admitChallenge}. */
  admitChallenge(request: OpenedRequest): boolean;
  /** Takes back what was admitted: the challenge was not sent. */
  withdrawChallenge(request: OpenedRequest): void;
  /** Returns the response that asks to show that a request is fresh, to be protected. */
  challenge(request: OpenedRequest): MessageParts;
  /** Returns the way to answer a request of an earlier run; undefined when its key is not in use any more. */
  resume(origin: ProtectedOrigin, message: MessageParts): OpenedRequest | undefined;
  /** Protects an event, as a request of the device. @throws SupersimError `numbers-unavailable`, `key-invalid` */
  protectEvent(keyName: string, parts: MessageParts): MessageParts;
}

export interface ProtectionOptions {
  /** Returns the keys in force. */
  readonly keys: () => readonly DeviceKey[];
  readonly numbers: Pick<SequenceNumbers, 'take'>;
  readonly guard: Pick<
    ReplayGuard,
    'mayBeFresh' | 'judge' | 'accept' | 'admitChallenge' | 'withdrawChallenge' | 'echoFor'
  >;
}

export function createProtection({ keys, numbers, guard }: ProtectionOptions): Protection {
  /** A kid of an operator has one byte; a kid context, if there is one, must be the device's. */
  const keyOf = ({ kid, kidContext }: ProtectedRequest): DeviceKey | undefined =>
    kid.length === 1 ? keys().find((key) => key.kid === kid[0] && isOwnContext(key.context, kidContext)) : undefined;

  function opened(key: DeviceKey, message: MessageParts, binding: RequestBinding, partialIv: string): OpenedRequest {
    let held: number | undefined;
    return {
      message,
      caller: { kind: 'key', key, number: Number.parseInt(partialIv, 16) },
      origin: { key: key.fingerprint, partialIv },
      hold() {
        held ??= numbers.take();
        return held !== undefined;
      },
      protect(parts) {
        const number = held ?? numbers.take();
        held = undefined;
        return number === undefined ? undefined : protectResponse(key.context, binding, number, parts);
      },
    };
  }

  function unprotect(key: DeviceKey, request: ProtectedRequest): OpenedRequest | ProtectedRefusal {
    const plain = unprotectRequest(key.context, request);
    return plain.ok ? opened(key, plain.message, plain.binding, request.partialIv.toString('hex')) : plain.reason;
  }

  return {
    open(message) {
      const parsed = parseProtectedRequest(message);
      if (!parsed.ok) return refused(parsed.reason === 'not-oscore' ? 'malformed' : parsed.reason);
      const { number } = parsed.request;
      const key = keyOf(parsed.request);
      if (key === undefined) return refused('unknown-kid');
      if (!guard.mayBeFresh(key, number)) return refused('replay', key);
      const request = unprotect(key, parsed.request);
      if (typeof request === 'string') return refused(request, key);
      const freshness = guard.judge(key, number, findOption(request.message.options, OPTION.echo));
      return freshness === 'replay' ? refused('replay', key) : { kind: freshness, request };
    },
    reopen(message) {
      const parsed = parseProtectedRequest(message);
      const key = parsed.ok ? keyOf(parsed.request) : undefined;
      const request = parsed.ok && key !== undefined ? unprotect(key, parsed.request) : undefined;
      return typeof request === 'string' ? undefined : request;
    },
    accept: ({ caller: { key, number } }) => guard.accept(key, number),
    admitChallenge: ({ caller: { key, number } }) => guard.admitChallenge(key, number),
    withdrawChallenge: ({ caller: { key, number } }) => guard.withdrawChallenge(key, number),
    challenge: ({ caller: { key } }) => ({
      code: '4.01',
      options: [{ number: OPTION.echo, value: guard.echoFor(key) }],
      payload: Buffer.alloc(0),
    }),
    resume({ key: fingerprint, partialIv }, message) {
      const key = keys().find((each) => each.fingerprint === fingerprint);
      return key && opened(key, message, receivedBinding(key.context, Buffer.from(partialIv, 'hex')), partialIv);
    },
    protectEvent(keyName, parts) {
      const key = keys().find(({ name }) => name === keyName);
      if (key === undefined) throw new SupersimError('key-invalid', `events.key: there is no key ${keyName}`);
      const number = numbers.take();
      if (number === undefined) throw new SupersimError('numbers-unavailable', 'the event was not sent');
      return protectRequest(key.context, number, parts).message;
    },
  };
}

const refused = (reason: ProtectedRefusal, key?: DeviceKey): Opened => ({ kind: 'refused', reason, key });
