import { randomBytes, randomInt } from 'node:crypto';
import { platform } from 'node:os';
import * as z from 'zod';
import { checkInput } from '../shared/check-input.js';
import { type Duration, durationSchema, milliseconds } from '../shared/duration.js';
import { GATEWAY_PORT } from '../shared/limits.js';
import { createSimRegistry } from './account/registry.js';
import { resolveSims, type Sim, type SimInput, type SimState } from './account/sims.js';
import { createStore } from './account/store.js';
import { COMMON_HEADERS, createApi } from './api/api.js';
import { type ApiFaults, type ApiFaultsInput, createApiFaults, resolveApiFaults } from './api/faults.js';
import { openServer } from './api/server.js';
import { createTokens } from './api/tokens.js';
import { createCommands } from './command-delivery.js';
import { type Counters, count, type LoopbackEvent, type LoopbackListener, newCounters } from './events.js';
import { type AttachedModem, attachModem, withModemSim } from './modem/attach.js';
import { resolveModemSettings } from './modem/settings.js';
import type { LoopbackModem, ModemInput } from './modem/status.js';
import type { FaultState } from './network/faults/apply.js';
import { MAX_SEED } from './network/faults/random.js';
import { type FaultsInput, resolveFaults, seedSchema } from './network/faults/settings.js';
import { type Endpoint, type Network, openNetwork } from './network/network.js';
import { createRadio } from './network/radio.js';
import { type AssumptionsInput, resolveAssumptions, type SourcePort } from './vendor-assumptions.js';
import { PROVIDERS, type ProviderName } from './vendor-error.js';
import { koreHeaders, twilioHeaders } from './webhooks/headers.js';
import { createWebhooks } from './webhooks/webhooks.js';

export const DEFAULT_HTTP_ADDRESS = '127.0.0.1';
export const DEFAULT_HTTP_PORT = 8080;
export const DEFAULT_GATEWAY_ADDRESS = '127.0.0.1';
/** Another port off Linux, where the SIM has the gateway's address and its agent uses the default port. */
export const DEFAULT_GATEWAY_PORT = platform() === 'linux' ? GATEWAY_PORT : GATEWAY_PORT + 10_000;
export const DEFAULT_SIM_NAME = 'gateway-1';
export const DEFAULT_MAX_COMMANDS = 10_000;

export interface LoopbackOptions {
  /** Address and port of the API; default 127.0.0.1:8080. Port 0 takes any free one. */
  readonly httpAddress?: string;
  readonly httpPort?: number;
  /** Address (IPv4) and port that devices send to; default 127.0.0.1:6969 (off Linux 16969). Port 0 takes any free one. */
  readonly gatewayAddress?: string;
  readonly gatewayPort?: number;
  /** Default: one SIM named `gateway-1`. */
  readonly sims?: readonly SimInput[];
  /** `AC` and 32 hexadecimal digits; default: random. */
  readonly accountSid?: string;
  /** Default: random. */
  readonly authToken?: string;
  /** Credentials of KORE's authentication, which works beside Twilio's; default: random. */
  readonly clientId?: string;
  readonly clientSecret?: string;
  /** Lifetime of KORE's access tokens, 1s to 720h; default `1h`. */
  readonly tokenLife?: Duration;
  /** Provider whose webhooks and signatures are sent; default `kore`. */
  readonly webhooks?: ProviderName;
  /** Secret that signs KORE's webhooks; Twilio's are signed with the auth token. Default: random. */
  readonly webhookSecret?: string;
  /** Default `other`; takes precedence over the assumption of the same name. */
  readonly sourcePort?: SourcePort;
  readonly assumptions?: AssumptionsInput;
  /** Faults of the radio network; default: none. */
  readonly faults?: FaultsInput;
  /** Faults of the API; default: none. */
  readonly apiFaults?: ApiFaultsInput;
  /** Seed of the faults' random numbers: the same seed and packets have the same faults. Default: random. */
  readonly seed?: number;
  /** A virtual modem on a tty of this machine; default: none. */
  readonly modem?: ModemInput;
  /** Commands kept in memory; default 10,000, or four per SIM if more. At the bound the oldest is evicted. */
  readonly maxCommands?: number;
}

/** A running loopback: the Super SIM API, its UDP gateway and its webhooks, on this machine. */
export interface Loopback {
  /** The API's base URL, without a slash at its end. */
  readonly url: string;
  readonly accountSid: string;
  readonly authToken: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly webhooks: ProviderName;
  readonly webhookSecret: string;
  readonly gateway: Endpoint;
  readonly sims: readonly Sim[];
  readonly counters: Readonly<Counters>;
  /** The virtual modem, if the options have one. */
  readonly modem: LoopbackModem | undefined;
  /** Calls the listener for each event, until the returned function is called. */
  onEvent(listener: LoopbackListener): () => void;
  /** Returns the faults, their seed, the packets since they were set, and the datagrams in flight. */
  faults(): FaultState & { readonly inFlight: number };
  /**
   * Sets the faults of further packets, and counts these from 1 again. Packets in flight are not affected.
   *
   * @param seed default: the current one
   * @throws SupersimError `bad-input` for faults or a seed that cannot be used; nothing changes then
   */
  setFaults(faults: FaultsInput, seed?: number): void;
  /** Returns the faults of the API, their seed, and the number of requests since they were set. */
  apiFaults(): { readonly faults: ApiFaults; readonly seed: number; readonly requests: number };
  /**
   * Sets the faults of further requests to the API, and counts these from 1 again.
   *
   * @param seed default: the current one
   * @throws SupersimError `bad-input` for faults or a seed that cannot be used; nothing changes then
   */
  setApiFaults(faults: ApiFaultsInput, seed?: number): void;
  /**
   * Sets the state of a SIM, by name or SID, or of all.
   *
   * @throws SupersimError `bad-input` for an unknown SIM
   */
  setSimState(state: SimState, sim?: string): void;
  /**
   * Revokes all of KORE's access tokens.
   *
   * @param clientSecret the secret for further token requests; default: the current one
   */
  revokeTokens(clientSecret?: string): void;
  /** Closes every socket, aborts webhooks, and discards datagrams in flight. */
  stop(): Promise<void>;
}

const port = z.int().min(0).max(65_535);
const randomHex = () => randomBytes(16).toString('hex');

const settingsSchema = z.object({
  httpAddress: z.string().default(DEFAULT_HTTP_ADDRESS),
  httpPort: port.default(DEFAULT_HTTP_PORT),
  gatewayAddress: z.string().default(DEFAULT_GATEWAY_ADDRESS),
  gatewayPort: port.default(DEFAULT_GATEWAY_PORT),
  accountSid: z
    .string()
    .regex(/^AC[0-9a-fA-F]{32}$/, 'must be AC and 32 hexadecimal digits')
    .default(() => `AC${randomHex()}`),
  authToken: z.string().min(1).default(randomHex),
  clientId: z.string().min(1).default(randomHex),
  clientSecret: z.string().min(1).default(randomHex),
  tokenLife: durationSchema('1s', '720h').default('1h'),
  webhooks: z.enum(PROVIDERS).default('kore'),
  webhookSecret: z.string().min(1).default(randomHex),
  seed: seedSchema.default(() => randomInt(MAX_SEED + 1)),
  maxCommands: z.int().min(1).optional(),
});

/**
 * Starts a loopback.
 *
 * @throws SupersimError `port-in-use` or `port-forbidden` for a port that cannot be opened (nothing stays open then),
 *   `bad-input` for an invalid option, `pty-missing` when a virtual modem cannot be made
 */
export async function startLoopback(options: LoopbackOptions = {}): Promise<Loopback> {
  const settings = settingsFrom(options);
  const { accountSid, authToken, clientId, clientSecret, webhookSecret } = settings;
  const { sourcePort } = options;
  const assumptions = resolveAssumptions({ ...options.assumptions, ...(sourcePort && { sourcePort }) });
  const modemSettings = options.modem && resolveModemSettings(options.modem);
  const givenSims = options.sims ?? [{ name: DEFAULT_SIM_NAME }];
  const registry = createSimRegistry(resolveSims(withModemSim(givenSims, modemSettings?.sim)));
  const store = createStore(settings.maxCommands ?? Math.max(DEFAULT_MAX_COMMANDS, 4 * registry.sims().length));
  const counters = newCounters();
  const listeners = new Set<LoopbackListener>();
  const emit = (event: LoopbackEvent) => {
    count(counters, event);
    for (const listener of listeners) listener(event);
  };
  const onError = (message: string) => emit({ type: 'error', message });
  const webhookHeaders = settings.webhooks === 'kore' ? koreHeaders(webhookSecret) : twilioHeaders(authToken);
  const webhooks = createWebhooks(webhookHeaders, (result) => emit({ type: 'webhook', result }));
  const radio = createRadio({
    faults: resolveFaults(options.faults ?? {}),
    seed: settings.seed,
    emit,
    onError: (message) => onError(`UDP: ${message}`),
  });
  const apiFaults = createApiFaults({
    faults: resolveApiFaults(options.apiFaults ?? {}),
    seed: settings.seed,
    emit,
  });
  const setSimState = (state: SimState, key?: string) => {
    for (const sim of registry.setState(state, key)) {
      const effective = attached?.effectiveState(sim, state) ?? state;
      if (effective !== state) registry.setState(effective, sim.sid);
      emit({ type: 'sim', simName: sim.uniqueName, state: effective });
    }
  };
  const commands = createCommands({
    accountSid,
    assumptions,
    store,
    registry,
    radio,
    async send(bytes, destination) {
      if (attached?.deliver(bytes, destination) !== true) await network.send(bytes, destination);
    },
    sendWebhook: webhooks.send,
    emit,
  });
  const network: Network = await openNetwork({
    address: settings.gatewayAddress,
    port: settings.gatewayPort,
    sourcePort: assumptions.sourcePort,
    onDatagram: (datagram) => commands.receive(datagram),
    onError: (error) => onError(`UDP: ${error.message}`),
  });
  let attached: AttachedModem | undefined;
  const control = { radio, apiFaults, registry, counters, setSimState, modem: () => attached?.modem };
  const tokens = createTokens({
    clientId,
    clientSecret,
    life: milliseconds(settings.tokenLife),
    onIssue: () => emit({ type: 'token' }),
  });
  const api = createApi({ ...control, accountSid, authToken, tokens, assumptions, store, commands, onError });
  const server = await openServer(api.fetch, COMMON_HEADERS, settings.httpAddress, settings.httpPort).catch(
    async (error) => {
      await network.close();
      throw error;
    },
  );
  const modemSim = modemSettings && registry.sim(modemSettings.sim);
  try {
    if (modemSettings !== undefined && modemSim !== undefined) {
      const context = { assumptions, registry, network, commands, emit, seed: settings.seed };
      attached = await attachModem({ settings: modemSettings, sim: modemSim, ...context });
    }
  } catch (error) {
    await Promise.all([server.close(), network.close()]);
    throw error;
  }
  let stopped: Promise<void> | undefined;
  return {
    url: server.url,
    accountSid,
    authToken,
    clientId,
    clientSecret,
    webhooks: settings.webhooks,
    webhookSecret,
    gateway: network.gateway,
    get sims() {
      return registry.sims();
    },
    counters,
    modem: attached?.modem,
    onEvent(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    faults: radio.status,
    setFaults(faults, seed = radio.status().seed) {
      radio.set(resolveFaults(faults), settingsFrom({ seed }).seed);
    },
    apiFaults: apiFaults.status,
    setApiFaults(faults, seed = apiFaults.status().seed) {
      apiFaults.set(resolveApiFaults(faults), settingsFrom({ seed }).seed);
    },
    setSimState,
    revokeTokens: tokens.revoke,
    stop() {
      radio.close();
      stopped ??= Promise.all([attached?.stop(), server.close(), webhooks.close(), network.close()]).then(
        () => undefined,
      );
      return stopped;
    },
  };
}

const settingsFrom = (options: LoopbackOptions) => checkInput(settingsSchema, options, 'loopback');
