import { messageOf } from '../../shared/errors.js';
import { coapOf } from './coap-summary.js';
import type { DroppedEvent, FaultEvent, FaultsEvent } from './events.js';
import { applyFaults, type FaultState, newFaultState } from './faults/apply.js';
import { type Faults, formatFaults, type Way } from './faults/settings.js';
import { createTimerQueue } from './faults/timer-queue.js';
import type { Endpoint } from './network.js';

/** Maximum of delayed datagrams in flight; further ones are dropped. */
export const MAX_IN_FLIGHT = 10_000;

/** A datagram on the radio network. */
export interface RadioPacket {
  readonly way: Way;
  readonly bytes: Buffer;
  readonly simName: string;
  /** The device's end. */
  readonly device: Endpoint;
}

/** The radio network between the gateway and the devices, which applies the faults. */
export interface Radio {
  /**
   * Delivers a packet never, once or twice, now or later. The promise waits for the deliveries of now, and rejects when
   * one of them does.
   */
  carry(packet: RadioPacket, deliver: (bytes: Buffer) => Promise<void> | void): Promise<void>;
  /** Sets the faults of all further packets, and counts these from 1 again. */
  set(faults: Faults, seed: number): void;
  status(): FaultState & { readonly inFlight: number };
  /** Discards the packets in flight. */
  close(): void;
}

export interface RadioOptions {
  readonly faults: Faults;
  readonly seed: number;
  readonly emit: (event: DroppedEvent | FaultEvent | FaultsEvent) => void;
  /** Called when a delayed delivery fails. */
  readonly onError: (message: string) => void;
}

export function createRadio({ faults, seed, emit, onError }: RadioOptions): Radio {
  const timers = createTimerQueue(MAX_IN_FLIGHT);
  let state = newFaultState(faults, seed);
  let closed = false;

  return {
    async carry({ way, bytes, simName, device }, deliver) {
      // A timer would keep the process from ending.
      if (closed) return;
      const now = performance.now();
      const { deliveries, hits, packet, ...result } = applyFaults(state, { way, bytes }, now);
      state = result.state;
      for (const hit of hits) {
        emit({ type: 'fault', way, packet, simName, bytes: bytes.length, ...coapOf(bytes), ...hit });
      }
      const attempt = async (arriving: Buffer) => deliver(arriving);
      const attemptLater = (arriving: Buffer) => void attempt(arriving).catch((error) => onError(messageOf(error)));
      for (const { at, bytes: arriving } of deliveries) {
        if (at <= now || timers.add(at, () => attemptLater(arriving))) continue;
        emit({ type: 'dropped', cause: 'too-many-in-flight', ...device, bytes: arriving.length, ...coapOf(arriving) });
      }
      await Promise.all(deliveries.filter(({ at }) => at <= now).map((delivery) => attempt(delivery.bytes)));
    },
    set(nextFaults, nextSeed) {
      state = newFaultState(nextFaults, nextSeed);
      emit({ type: 'faults', faults: formatFaults(nextFaults), seed: nextSeed });
    },
    status: () => ({ ...state, inFlight: timers.size() }),
    close() {
      closed = true;
      timers.clear();
    },
  };
}
