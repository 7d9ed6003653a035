import { type CoapMessage, MessageFormatError, parseMessage } from '../../shared/coap/message.js';
import { findOption, OPTION, stringOptions } from '../../shared/coap/options.js';
import { EVENT_PATH } from '../../shared/coap/path.js';
import { METHOD } from '../../shared/coap/request.js';
import { detectFormat } from '../../shared/format/detect.js';
import type { MessageParts } from '../../shared/oscore/plaintext.js';
import { parseProtectedRequest, unprotectRequest } from '../../shared/oscore/request.js';
import { readEvent } from '../base/event-body.js';
import { type EventFreshness, type EventWindows, eventKeyId } from './event-windows.js';
import type { KnownKey } from './known-keys.js';
import type { SimNames } from './operator-key.js';

/**
 * Why a protected message of a device is not opened.
 * - `no-key`: no key of the SIM is known, or none of this kid.
 * - `revoked`: its key was revoked.
 * - `bad-tag`: it was changed, or is not of this SIM.
 * - `malformed`: it is not as RFC 8613 wants it.
 * - `not-an-event`: it is authentic, and no event.
 */
export type SealedReason = 'no-key' | 'revoked' | 'bad-tag' | 'malformed' | 'not-an-event';

/** An event that a device has protected: only who has its key can have written it. */
export interface AuthenticEvent {
  readonly kind: 'event';
  readonly authentic: true;
  readonly fresh: EventFreshness;
  /** Of the device whose key it is. */
  readonly deviceId: string;
  /** The decrypted body: what an unprotected event is as a datagram. */
  readonly payload: Buffer;
  /** Its name, where the body is JSON. */
  readonly event?: string;
  readonly data?: unknown;
}

/** What a datagram of a device turns out to be. */
export type OpenedDatagram =
  | AuthenticEvent
  /** An authentic event that was reported before, or is too old to tell. */
  | { readonly kind: 'repeat' }
  /** It is protected, and cannot be opened. */
  | { readonly kind: 'sealed'; readonly authentic: false; readonly reason: SealedReason }
  /** A protected response, which only who has sent its request can open. */
  | { readonly kind: 'response' }
  /** Anyone may have written it. `hasKey`: the SIM has a key, also a revoked one, with which its device can protect. */
  | { readonly kind: 'unprotected'; readonly authentic: false; readonly hasKey: boolean };

/** What of it is reported. */
export type ReportedDatagram = Exclude<OpenedDatagram, { kind: 'repeat' }>;

/**
 * Opens a datagram of a device.
 *
 * @param names what the SIM is known by, as the API says: one of them counts, the SID before the ICCID before the name
 * @param use `record` to report an event, once by all processes of this installation; `look` to show it
 * @throws SupersimError `keys-unusable`, `profile-unsafe`
 */
export type OpenDatagram = (names: SimNames, bytes: Buffer, use: 'record' | 'look') => OpenedDatagram;

interface EventSources {
  /** Returns all keys of a SIM. */
  readonly keysOf: (names: SimNames) => readonly KnownKey[];
  /** Judges the number of an event that is authentic. */
  readonly judge: (key: KnownKey, number: number, use: 'record' | 'look') => ReturnType<EventWindows['record']>;
}

export function createEventOpener({ keysOf, judge }: EventSources): OpenDatagram {
  function openRequest(names: SimNames, message: CoapMessage, use: 'record' | 'look'): OpenedDatagram {
    const parsed = parseProtectedRequest(message);
    if (!parsed.ok) return sealed('malformed');
    const { request } = parsed;
    let reason: SealedReason = 'no-key';
    for (const key of bySecret(keysOf(mainName(names)))) {
      const opened = unprotectRequest(key.context, request);
      if (!opened.ok) {
        if (opened.reason === 'malformed-plaintext') return sealed('malformed');
        if (opened.reason === 'bad-tag') reason = 'bad-tag';
        continue;
      }
      if (key.state === 'revoked') return sealed('revoked');
      if (message.type !== 'NON' || !isEvent(opened.message)) return sealed('not-an-event');
      const fresh = judge(key, request.number, use);
      return fresh === 'repeat' ? { kind: 'repeat' } : eventOf(key, fresh, opened.message);
    }
    return sealed(reason);
  }

  return (names, bytes, use) => {
    const message = parseProtected(bytes);
    if (message === undefined) {
      return { kind: 'unprotected', authentic: false, hasKey: keysOf(mainName(names)).length > 0 };
    }
    return /^[245]/.test(message.code) ? { kind: 'response' } : openRequest(names, message, use);
  };
}

const sealed = (reason: SealedReason): OpenedDatagram => ({ kind: 'sealed', authentic: false, reason });

const eventOf = ({ deviceId }: KnownKey, fresh: EventFreshness, { payload }: MessageParts): AuthenticEvent => ({
  ...{ kind: 'event', authentic: true, fresh, deviceId, payload },
  ...readEvent(payload),
});

/** Parses a CoAP message that has the OSCORE option; undefined for anything else. */
function parseProtected(bytes: Buffer): CoapMessage | undefined {
  // As a device's text, which could be parsed as CoAP too.
  if (detectFormat(bytes) === 'text') return undefined;
  try {
    const message = parseMessage(bytes);
    return findOption(message.options, OPTION.oscore) === undefined ? undefined : message;
  } catch (error) {
    if (error instanceof MessageFormatError) return undefined;
    throw error;
  }
}

/** A SIM can be given another's unique name; its SID stays its own. */
function mainName({ sid, iccid, uniqueName }: SimNames): SimNames {
  if (sid !== undefined) return { sid };
  return iccid !== undefined ? { iccid } : { uniqueName };
}

/**
 * Returns a key for each master secret, revoked ones last: with an empty kid, all keys with one secret open the same. A
 * secret counts as revoked only when all its keys are.
 */
function bySecret(keys: readonly KnownKey[]): Iterable<KnownKey> {
  const revokedLast = [...keys].sort(
    (one, other) => Number(one.state === 'revoked') - Number(other.state === 'revoked'),
  );
  const first = new Map<string, KnownKey>();
  for (const key of revokedLast) {
    const id = eventKeyId(key);
    if (!first.has(id)) first.set(id, key);
  }
  return first.values();
}

function isEvent({ code, options }: MessageParts): boolean {
  const path = stringOptions(options, OPTION.uriPath);
  return (
    code === METHOD.post && path.length === EVENT_PATH.length && EVENT_PATH.every((segment, at) => path[at] === segment)
  );
}
