import type { CoapSummary } from './coap-summary.js';
import type { Hit } from './faults/apply.js';
import type { Way } from './faults/settings.js';

/**
 * Why a datagram was dropped, other than by a fault: its source address belongs to no SIM, it was sent to the source
 * port, its SIM is not active (any more), or too many datagrams are in flight.
 */
export type DatagramDropCause = 'unknown-source' | 'to-source-port' | 'inactive' | 'detached' | 'too-many-in-flight';

export interface DroppedEvent {
  readonly type: 'dropped';
  readonly cause: DatagramDropCause;
  /** The device's address. */
  readonly address: string;
  /** The device's port. */
  readonly port: number;
  readonly bytes: number;
  /** Set when the datagram is a CoAP message. */
  readonly coap?: CoapSummary;
}

/** A fault hit a packet; a packet that several faults hit has one event for each. */
export type FaultEvent = {
  readonly type: 'fault';
  readonly way: Way;
  /** The packet's number in its direction since the faults were set, from 1. */
  readonly packet: number;
  readonly simName: string;
  /** Size of the packet before the fault. */
  readonly bytes: number;
  /** Set when the packet was a CoAP message before the fault. */
  readonly coap?: CoapSummary;
} & Hit;

/** Other faults were set, given here as the command line writes them. */
export interface FaultsEvent {
  readonly type: 'faults';
  readonly faults: string;
  readonly seed: number;
}
