import { messageOf } from '../../shared/errors.js';
import type { DroppedEvent, FaultEvent, FaultsEvent } from './events.js';
import { createAgenda } from './faults/agenda.js';
import { applyFaults, type FaultState, newFaultState } from './faults/apply.js';
import { type Faults, formatFaults, type Way } from './faults/settings.js';
import type { Endpoint } from './network.js';

/** Datagrams on their way, with faults that delay them; what comes on top is dropped. */
export const MAX_IN_FLIGHT = 10_000;

/** A datagram that goes through the air. */
export interface RadioPacket {
  readonly way: Way;
  readonly bytes: Buffer;
  readonly simName: string;
  /** The device's end. */
  readonly device: Endpoint;
}

/** Everything between the gateway and the devices: it delivers as the faults say. */
export interface Radio {
  /**
   * Delivers a packet never, once or twice, now or later. What is delivered now has been when the promise resolves;
   * if that fails, so does the promise.
   */
  carry(packet: RadioPacket, deliver: (bytes: Buffer) => Promise<void> | void): Promise<void>;
  /** Sets the faults of all packets from now, and counts these from 1 again. */
  set(faults: Faults, seed: number): void;
  status(): FaultState & { readonly inFlight: number };
  /** Forgets what is on its way. */
  close(): void;
}

export interface RadioOptions {
  readonly faults: Faults;
  readonly seed: number;
  readonly emit: (event: DroppedEvent | FaultEvent | FaultsEvent) => void;
  /** Of a packet that was delivered later. */
  readonly onError: (message: string) => void;
}

export function createRadio({ faults, seed, emit, onError }: RadioOptions): Radio {
  const agenda = createAgenda(MAX_IN_FLIGHT);
  let state = newFaultState(faults, seed);
  let closed = false;

  return {
    async carry({ way, bytes, simName, device }, deliver) {
      // A timer would keep the process from ending.
      if (closed) return;
      const now = performance.now();
      const { deliveries, hits, packet, ...passage } = applyFaults(state, { way, bytes }, now);
      state = passage.state;
      for (const hit of hits) emit({ type: 'fault', way, packet, simName, bytes: bytes.length, ...hit });
      const attempt = async (arriving: Buffer) => deliver(arriving);
      const attemptLater = (arriving: Buffer) => void attempt(arriving).catch((error) => onError(messageOf(error)));
      for (const { at, bytes: arriving } of deliveries) {
        if (at <= now || agenda.add(at, () => attemptLater(arriving))) continue;
        emit({ type: 'dropped', cause: 'too-many-in-flight', ...device, bytes: arriving.length });
      }
      await Promise.all(deliveries.filter(({ at }) => at <= now).map((delivery) => attempt(delivery.bytes)));
    },
    set(nextFaults, nextSeed) {
      state = newFaultState(nextFaults, nextSeed);
      emit({ type: 'faults', faults: formatFaults(nextFaults), seed: nextSeed });
    },
    status: () => ({ ...state, inFlight: agenda.size() }),
    close() {
      closed = true;
      agenda.clear();
    },
  };
}
