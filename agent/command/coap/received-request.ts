import type { CoapMessage } from '../../../shared/coap/message.js';
import type { Caller } from '../../security/authorize.js';
import type { OpenedRequest } from '../../security/protection.js';
import type { DatagramKey } from '../dedup/entry.js';

/** The sender of a message, and the way to answer it. */
export interface CoapPeer {
  /** `gateway` for everything from the carrier, else `address:port`. */
  readonly name: string;
  readonly address: string;
  /** Who it is. */
  readonly caller: Caller;
  /** A `signal`, such as an acknowledgement, is not kept in the outbox when there is no link. */
  send(bytes: Uint8Array, kind: 'reply' | 'signal'): void;
}

/** A response without type, message ID and token, which the endpoint adds. */
export type ResponseParts = Pick<CoapMessage, 'code' | 'options' | 'payload'>;

/** A request as it was received. */
export interface ReceivedRequest<Peer extends CoapPeer> {
  /** What was protected in it, once it is opened. */
  readonly request: CoapMessage;
  readonly peer: Peer;
  /** Of the datagram. */
  readonly key: DatagramKey;
  readonly isProtected: boolean;
  /** Undefined until it is opened, and for one that is not protected. */
  readonly opened?: OpenedRequest | undefined;
}
