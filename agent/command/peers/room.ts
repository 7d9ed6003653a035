import { isLoopback } from '../../transport/endpoint.js';
import type { Datagram } from '../../transport/transport.js';
import type { Proofs } from './proofs.js';

/** All of the carrier's addresses are one peer: a repeat may come from another of them. */
export const GATEWAY_PEER = 'gateway';

/** As in QUIC (RFC 9000 §8) and RFC 9175 §2.4: a forged request brings its victim at most so many times its bytes. */
const MOST_TIMES = 3;
/** Room for short requests, so that they can be answered at all. */
const LEAST_BYTES = 200;

/** The part of a datagram that the room for its answers depends on. */
export type Answered = Pick<Datagram, 'bytes' | 'source'>;

/** The bytes that may be sent in answer to one datagram, all messages and retransmissions together. */
export interface Room {
  /** Tells whether there is a limit. */
  isLimited(datagram: Answered, peer: string): boolean;
  /** Returns the bytes that are left; `Infinity` where there is no limit. */
  left(datagram: Answered, peer: string): number;
  /** Takes bytes for an answer. @returns false when there are not so many left */
  take(datagram: Answered, peer: string, bytes: number): boolean;
}

/**
 * Limits the answers to direct peers that have not shown that they receive at their address. What goes to the gateway goes
 * to no forged address, and loopback addresses do not come by a network.
 *
 * @param answersGateway whether answers to direct peers go to the gateway too
 */
export function createRoom(proofs: Pick<Proofs, 'has'>, answersGateway: () => boolean): Room {
  /** By datagram, as long as that is in use. */
  const taken = new WeakMap<Answered, number>();

  const isLimited = ({ source: { address } }: Answered, peer: string): boolean =>
    peer !== GATEWAY_PEER && !isLoopback(address) && !answersGateway() && !proofs.has(address);

  const left = (datagram: Answered, peer: string): number =>
    isLimited(datagram, peer)
      ? Math.max(MOST_TIMES * datagram.bytes.length, LEAST_BYTES) - (taken.get(datagram) ?? 0)
      : Number.POSITIVE_INFINITY;

  return {
    isLimited,
    left,
    take(datagram, peer, bytes) {
      const room = left(datagram, peer);
      if (bytes > room) return false;
      if (room !== Number.POSITIVE_INFINITY) taken.set(datagram, (taken.get(datagram) ?? 0) + bytes);
      return true;
    },
  };
}
