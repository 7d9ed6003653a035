import { messageOf } from '../shared/errors.js';
import { type IpCommand, payloadBytes } from '../shared/ip-command.js';
import { MAX_PAYLOAD_BYTES } from '../shared/limits.js';
import type { SimRegistry, WebhookMethod } from './account/registry.js';
import type { Sim } from './account/sims.js';
import { newCommandSid, type Store, type StoredCommand, vendorDate } from './account/store.js';
import { type CoapSummary, coapOf } from './network/coap-summary.js';
import type { DatagramDropCause, DroppedEvent } from './network/events.js';
import type { Datagram, Endpoint } from './network/network.js';
import type { Radio } from './network/radio.js';
import type { Assumptions } from './vendor-assumptions.js';
import { VENDOR_CODES } from './vendor-error.js';
import { type CallbackError, callbackParams } from './webhooks/params.js';
import type { Webhook } from './webhooks/webhooks.js';

/** A valid to_sim command. */
export interface ToSimCommand {
  readonly sim: Sim;
  readonly devicePort: number;
  readonly payload: string;
  readonly payloadType: IpCommand['payload_type'];
  readonly callback?: { readonly url: string; readonly method: WebhookMethod };
}

/** A command was queued, sent or failed (to_sim), or received (from_sim). */
export interface CommandEvent {
  readonly type: 'command';
  readonly command: StoredCommand;
  readonly simName: string;
  /** Set when the payload is a CoAP message. */
  readonly coap?: CoapSummary;
  /** The vendor's code of a failed command. */
  readonly errorCode?: number;
  /** Bytes over the limit that were cut from a from_sim datagram. */
  readonly cutBytes?: number;
}

/** The life of commands: a to_sim one is queued, then sent or failed; a from_sim one is received. */
export interface Commands {
  /** Queues a to_sim command and returns its resource; its datagram leaves afterwards. */
  accept(command: ToSimCommand): StoredCommand;
  /** Makes a from_sim command of a datagram, or drops it. */
  receive(datagram: Datagram): void;
}

export interface CommandsOptions {
  readonly accountSid: string;
  readonly assumptions: Assumptions;
  readonly store: Store;
  readonly registry: SimRegistry;
  readonly radio: Pick<Radio, 'carry'>;
  readonly send: (bytes: Buffer, destination: Endpoint) => Promise<void>;
  readonly sendWebhook: (webhook: Webhook) => void;
  readonly emit: (event: CommandEvent | DroppedEvent) => void;
}

export function createCommands(options: CommandsOptions): Commands {
  const { accountSid, assumptions, store, registry, radio, send, sendWebhook, emit } = options;

  function sendCallback(command: StoredCommand, { sim, callback }: ToSimCommand, error?: CallbackError): void {
    if (callback === undefined) return;
    const params = callbackParams(command, sim.uniqueName, assumptions, error);
    sendWebhook({ commandSid: command.sid, ...callback, params });
  }

  function emitCommand(
    command: StoredCommand,
    { uniqueName }: Sim,
    more: Pick<CommandEvent, 'errorCode' | 'cutBytes'>,
  ) {
    emit({ type: 'command', command, simName: uniqueName, ...coapOf(payloadBytes(command)), ...more });
  }

  async function deliver(sid: string, toSim: ToSimCommand): Promise<void> {
    // The SIM's state may have changed since the command was queued.
    const sim = registry.sim(toSim.sim.sid) ?? toSim.sim;
    const error = await trySend(sim, toSim);
    const change =
      error === undefined
        ? { status: 'sent' as const, device_ip: sim.address }
        : { status: 'failed' as const, device_ip: null };
    const command = store.updateStatus(sid, change);
    if (command === undefined) return;
    emitCommand(command, sim, error === undefined ? {} : { errorCode: error.code });
    sendCallback(command, toSim, error);
  }

  async function trySend(sim: Sim, toSim: ToSimCommand): Promise<CallbackError | undefined> {
    if (sim.state === 'inactive') return { code: Number(assumptions.inactiveSim), message: 'The SIM is inactive' };
    if (sim.state === 'detached') {
      return { code: VENDOR_CODES.notAttached, message: 'The device is not attached to a cellular network' };
    }
    const bytes = datagramBytes(toSim, assumptions.binaryDelivery);
    const device = { address: sim.address, port: toSim.devicePort };
    try {
      await radio.carry({ way: 'down', bytes, simName: sim.uniqueName, device }, async (arriving) => {
        // The device may have gone while the packet was in flight.
        const state = registry.sim(sim.sid)?.state ?? sim.state;
        if (state === 'active') await send(arriving, device);
        else emit({ type: 'dropped', cause: state, ...device, bytes: arriving.length, ...coapOf(arriving) });
      });
      return undefined;
    } catch (error) {
      return { code: VENDOR_CODES.ipCommandFailed, message: messageOf(error) };
    }
  }

  function addFromSim(sim: Sim, from: Endpoint, bytes: Buffer, cutBytes: number): void {
    const command: StoredCommand = {
      ...newCommand(accountSid, sim),
      status: 'received',
      direction: 'from_sim',
      device_ip: from.address,
      device_port: from.port,
      payload_type: 'binary',
      payload: bytes.toString('base64'),
    };
    store.add(command);
    emitCommand(command, sim, cutBytes > 0 ? { cutBytes } : {});
    const fleet = registry.fleet(sim.fleetSid);
    if (fleet === undefined || fleet.ipCommandsUrl === null) return;
    const params = callbackParams(command, sim.uniqueName, assumptions);
    sendWebhook({ commandSid: command.sid, url: fleet.ipCommandsUrl, method: fleet.ipCommandsMethod, params });
  }

  return {
    accept(toSim) {
      const command: StoredCommand = {
        ...newCommand(accountSid, toSim.sim),
        status: 'queued',
        direction: 'to_sim',
        device_ip: null,
        device_port: toSim.devicePort,
        payload_type: toSim.payloadType,
        payload: toSim.payload,
      };
      store.add(command);
      emitCommand(command, toSim.sim, {});
      if (assumptions.callbackOnQueued === 'yes') sendCallback(command, toSim);
      // In a later turn of the event loop, so that the API's response is sent first.
      setImmediate(() => void deliver(command.sid, toSim));
      return command;
    },

    receive({ bytes, from, to }) {
      const drop = (cause: DatagramDropCause) =>
        emit({ type: 'dropped', cause, ...from, bytes: bytes.length, ...coapOf(bytes) });
      const sim = registry.simByAddress(from.address);
      if (sim === undefined) return drop('unknown-source');
      if (sim.state !== 'active') return drop(sim.state);
      if (to === 'source' && assumptions.replyToSource === 'drop') return drop('to-source-port');
      // Cut before the radio, which bounds the bytes in flight.
      const kept = bytes.subarray(0, MAX_PAYLOAD_BYTES);
      const cutBytes = bytes.length - kept.length;
      void radio.carry({ way: 'up', bytes: kept, simName: sim.uniqueName, device: from }, (arriving) =>
        addFromSim(sim, from, arriving, cutBytes),
      );
    },
  };
}

function newCommand(accountSid: string, sim: Sim) {
  const date = vendorDate();
  return {
    sid: newCommandSid(),
    account_sid: accountSid,
    sim_sid: sim.sid,
    sim_iccid: sim.iccid,
    date_created: date,
    date_updated: date,
  };
}

function datagramBytes({ payload, payloadType }: ToSimCommand, binaryDelivery: Assumptions['binaryDelivery']): Buffer {
  return Buffer.from(payload, payloadType === 'binary' && binaryDelivery === 'decoded' ? 'base64' : 'utf8');
}
