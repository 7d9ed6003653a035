import { isRoomFor } from '../../base/shares.js';
import type { Config } from '../../config/schema.js';
import { isLoopback } from '../../transport/endpoint.js';

/** Most addresses with a rate, or a share of one, of their own; further ones have one together. */
export const MAX_RATED = 1024;
/** For how long a direct address may use more than its rate, in seconds. */
const BURST_S = 10;
const HOUR_S = 3600;

/** Which rate would be exceeded: that of messages to the gateway, or that of datagrams to one direct address. */
export type RateCause = 'from-sim-rate' | 'peer-rate';

export type RateLimits = Pick<Config['limits'], 'fromSimPerHour' | 'repliesPerSecond'>;

/** Limits how many datagrams leave. Loopback addresses have no limit, and neither has a gateway at one of them. */
export interface Rates {
  /**
   * Takes the right to send one datagram.
   *
   * @param holder who has a datagram sent to the gateway: the source address of the request; each has its share
   * @returns why there is none
   */
  take(address: string, holder: string): RateCause | undefined;
  /** Gives back what was taken for a datagram that could not leave. */
  giveBack(address: string, holder: string): void;
  change(limits: RateLimits): void;
}

/** A token bucket: fills steadily, and each datagram takes one. */
interface Bucket {
  tokens: number;
  /** Monotonic milliseconds. */
  filledAt: number;
}

/** What one holder has used of the rate to the gateway, and the rate has not replaced yet. */
interface Use {
  used: number;
  /** Monotonic milliseconds. */
  at: number;
}

/**
 * @param isCarrier whether datagrams to an address become from_sim messages
 * @param now the monotonic clock in milliseconds
 */
export function createRates(
  limits: RateLimits,
  isCarrier: (address: string) => boolean,
  now: () => number = () => performance.now(),
): Rates {
  let current = limits;
  const fromSim: Bucket = { tokens: Number.POSITIVE_INFINITY, filledAt: now() };
  /** Shared by the addresses that found no place. */
  const others: Bucket = { tokens: Number.POSITIVE_INFINITY, filledAt: now() };
  const peers = new Map<string, Bucket>();
  const uses = new Map<string, Use>();
  const othersUse: Use = { used: 0, at: now() };
  let sweptAt = Number.NEGATIVE_INFINITY;

  const fillFromSim = () => fill(fromSim, current.fromSimPerHour / HOUR_S, current.fromSimPerHour);
  const fillPeer = (bucket: Bucket) => fill(bucket, current.repliesPerSecond, current.repliesPerSecond * BURST_S);

  function fill(bucket: Bucket, perSecond: number, most: number): Bucket {
    const time = now();
    bucket.tokens = Math.min(most, bucket.tokens + ((time - bucket.filledAt) / 1000) * perSecond);
    bucket.filledAt = time;
    return bucket;
  }

  function bucketOf(address: string): Bucket {
    const known = peers.get(address);
    if (known !== undefined) return fillPeer(known);
    if (peers.size >= MAX_RATED) sweep();
    if (peers.size >= MAX_RATED) return fillPeer(others);
    const added = { tokens: Number.POSITIVE_INFINITY, filledAt: now() };
    peers.set(address, added);
    return fillPeer(added);
  }

  /** Forgets those that have used nothing which is not replaced: no other, as its address would get all anew. */
  function sweep(): void {
    if (now() - sweptAt < 1000) return;
    sweptAt = now();
    const most = current.repliesPerSecond * BURST_S;
    for (const [address, bucket] of peers) if (fillPeer(bucket).tokens >= most) peers.delete(address);
    for (const [holder, use] of uses) if (drained(use).used === 0) uses.delete(holder);
  }

  function drained(use: Use): Use {
    const time = now();
    use.used = Math.max(0, use.used - ((time - use.at) / 1000) * (current.fromSimPerHour / HOUR_S));
    use.at = time;
    return use;
  }

  function useOf(holder: string): Use {
    const known = uses.get(holder);
    if (known !== undefined) return drained(known);
    if (uses.size >= MAX_RATED) sweep();
    if (uses.size >= MAX_RATED) return drained(othersUse);
    const added = { used: 0, at: now() };
    uses.set(holder, added);
    return added;
  }

  /** Takes one message of those to the gateway, if there is room for this holder. */
  function takeFromSim(holder: string): boolean {
    const { tokens } = fillFromSim();
    const use = useOf(holder);
    if (tokens < 1 || !isRoomFor(use.used, current.fromSimPerHour - tokens, current.fromSimPerHour)) return false;
    fromSim.tokens--;
    use.used++;
    return true;
  }

  return {
    take(address, holder) {
      if (isLoopback(address)) return undefined;
      if (isCarrier(address)) return takeFromSim(holder) ? undefined : 'from-sim-rate';
      const bucket = bucketOf(address);
      if (bucket.tokens < 1) return 'peer-rate';
      bucket.tokens--;
      return undefined;
    },
    giveBack(address, holder) {
      if (isLoopback(address)) return;
      const toCarrier = isCarrier(address);
      const bucket = toCarrier ? fromSim : (peers.get(address) ?? others);
      bucket.tokens++;
      if (toCarrier) useOf(holder).used--;
    },
    change(next) {
      current = next;
    },
  };
}
