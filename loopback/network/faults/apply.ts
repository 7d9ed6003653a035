import { milliseconds } from '../../../shared/duration.js';
import { packetRandom } from './random.js';
import type { Faults, Hits, Way } from './settings.js';

/** State of the faults from packet to packet. */
export interface FaultState {
  readonly faults: Faults;
  readonly seed: number;
  /** Number of packets in each direction since the faults were set. */
  readonly packets: Readonly<Record<Way, number>>;
}

export interface Packet {
  readonly way: Way;
  readonly bytes: Buffer;
}

/** A packet that arrives, and its time on the clock of `now`. */
export interface PacketDelivery {
  readonly at: number;
  readonly bytes: Buffer;
}

/** A fault that hit a packet. */
export type Hit =
  | { readonly fault: 'loss' | 'corrupt' }
  | { readonly fault: 'truncate'; readonly keptBytes: number }
  /** `delayMs`: the additional delay by `delay` or `reorder`, or the whole delay of the copy by `duplicate`. */
  | { readonly fault: 'delay' | 'reorder' | 'duplicate'; readonly delayMs: number };

/** The result of applying faults to a packet. */
export interface FaultResult {
  readonly state: FaultState;
  /** The packet's number in its direction, from 1. */
  readonly packet: number;
  readonly deliveries: readonly PacketDelivery[];
  readonly hits: readonly Hit[];
}

export const newFaultState = (faults: Faults, seed: number): FaultState => ({
  faults,
  seed,
  packets: { down: 0, up: 0 },
});

/** Applies the faults to one packet: with the same result for the same seed, faults, direction and number. */
export function applyFaults(state: FaultState, { way, bytes }: Packet, now: number): FaultResult {
  const packet = state.packets[way] + 1;
  const rules = state.faults[way];
  const next = { ...state, packets: { ...state.packets, [way]: packet } };
  const random = packetRandom(state.seed, way, packet);
  // Every packet draws all of these in this order, so that no fault's setting changes what another one hits.
  const draw = {
    loss: random(),
    duplicate: random(),
    reorder: random(),
    corrupt: random(),
    truncate: random(),
    jitter: random(),
    copyJitter: random(),
    keptBytes: random(),
    byte: random(),
    flips: random(),
  };
  const isHit = (fault: Hit['fault'] & keyof typeof draw) => includes(rules[fault], packet, draw[fault]);

  if (isHit('loss')) return { state: next, packet, deliveries: [], hits: [{ fault: 'loss' }] };
  const hits: Hit[] = [];
  let arriving = bytes;
  if (isHit('corrupt') && arriving.length > 0) {
    arriving = flipBits(arriving, draw.byte, draw.flips);
    hits.push({ fault: 'corrupt' });
  }
  if (isHit('truncate') && arriving.length > 0) {
    arriving = arriving.subarray(0, Math.floor(draw.keptBytes * arriving.length));
    hits.push({ fault: 'truncate', keptBytes: arriving.length });
  }
  const delayMs = milliseconds(rules.delay) + draw.jitter * milliseconds(rules.jitter);
  if (delayMs > 0) hits.push({ fault: 'delay', delayMs });
  const heldMs = isHit('reorder') ? milliseconds(rules.reorderDelay) : 0;
  if (isHit('reorder')) hits.push({ fault: 'reorder', delayMs: heldMs });
  const deliveries: PacketDelivery[] = [{ at: now + delayMs + heldMs, bytes: arriving }];
  if (isHit('duplicate')) {
    const copyMs =
      milliseconds(rules.delay) + draw.copyJitter * milliseconds(rules.jitter) + milliseconds(rules.duplicateDelay);
    deliveries.push({ at: now + copyMs, bytes });
    hits.push({ fault: 'duplicate', delayMs: copyMs });
  }
  return { state: next, packet, deliveries, hits };
}

/** Whether the packet with this number is hit, given a random number from 0 up to but not 1. */
export const includes = (hits: Hits, packet: number, draw: number): boolean =>
  typeof hits === 'number' ? draw < hits : hits.includes(packet);

/** Flips one to eight random bits of one random byte, in a copy. */
function flipBits(bytes: Buffer, whichByte: number, whichBits: number): Buffer {
  const index = Math.floor(whichByte * bytes.length);
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(bytes.readUInt8(index) ^ (1 + Math.floor(whichBits * 255)), index);
  return flipped;
}
