import { GATEWAY_ADDRESS, GATEWAY_PORT } from '../../shared/limits.js';
import type { SimRegistry } from '../account/registry.js';
import type { Sim, SimEvent, SimInput, SimState } from '../account/sims.js';
import type { Commands } from '../command-delivery.js';
import type { Endpoint, Network } from '../network/network.js';
import type { Assumptions } from '../vendor-assumptions.js';
import type { ModemEvent } from './events.js';
import { type Modem, startModem } from './modem.js';
import type { ModemSettings } from './settings.js';

/** Something happened in the virtual modem. */
export interface AttachedModemEvent {
  readonly type: 'modem';
  readonly event: ModemEvent;
}

export interface ErrorEvent {
  readonly type: 'error';
  readonly message: string;
}

export interface AttachOptions {
  readonly settings: ModemSettings;
  readonly sim: Sim;
  readonly seed: number;
  readonly assumptions: Assumptions;
  readonly registry: SimRegistry;
  readonly network: Network;
  readonly commands: Commands;
  readonly emit: (event: AttachedModemEvent | SimEvent | ErrorEvent) => void;
}

/** A modem that is connected to the loopback's network. */
export interface AttachedModem {
  readonly modem: Modem;
  /** Delivers a datagram. Returns whether a socket of the modem takes it. */
  deliver(bytes: Buffer, destination: Endpoint): boolean;
  /** The state that a SIM gets: active only while the modem that has it is attached. */
  effectiveState(sim: Sim, wanted: SimState): SimState;
  stop(): Promise<void>;
}

/** Adds the modem's SIM to the SIMs, if it is not one of them. */
export function withModemSim(sims: readonly SimInput[], name: string | undefined): readonly SimInput[] {
  return name === undefined || sims.some((sim) => sim.name === name) ? sims : [...sims, { name }];
}

/**
 * Starts a virtual modem on the loopback's network.
 *
 * @throws SupersimError `pty-missing`, or `bad-input` for a link that cannot be made
 */
export async function attachModem(options: AttachOptions): Promise<AttachedModem> {
  const { sim, assumptions, registry, network, commands, emit } = options;
  // On the carrier's network the gateway has the carrier's address and port, whatever this machine's are.
  const source = {
    address: GATEWAY_ADDRESS,
    port: assumptions.sourcePort === 'gateway' ? GATEWAY_PORT : network.source.port,
  };
  let attached = false;

  function setState(state: SimState): void {
    const now = registry.sim(sim.sid)?.state;
    // A SIM that its owner deactivated stays inactive.
    if (now === 'inactive' || now === state) return;
    registry.setState(state, sim.sid);
    emit({ type: 'sim', simName: sim.uniqueName, state });
  }

  const modem = await startModem({
    settings: options.settings,
    sim,
    seed: options.seed,
    transmit(bytes, port, destination) {
      const to = destination.port === source.port && source.port !== GATEWAY_PORT ? 'source' : 'gateway';
      commands.receive({ bytes, from: { address: sim.address, port }, to });
    },
    onAttached(now) {
      attached = now;
      setState(now ? 'active' : 'detached');
    },
    onEvent: (event) => emit({ type: 'modem', event }),
    onError: (message) => emit({ type: 'error', message }),
  });
  return {
    modem,
    deliver: (bytes, { address, port }) => address === sim.address && modem.receive(port, { bytes, source }),
    effectiveState: (of, wanted) => (of.sid === sim.sid && wanted === 'active' && !attached ? 'detached' : wanted),
    stop: modem.stop,
  };
}
