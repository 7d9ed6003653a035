export { SIM_STATES, type Sim, type SimInput, type SimState } from './account/sims.js';
export type { StoredCommand } from './account/store.js';
export { type ApiFaults, type ApiFaultsInput, formatApiFaults } from './api/faults.js';
export type { Counters, LoopbackEvent, LoopbackListener } from './events.js';
export {
  DEFAULT_GATEWAY_ADDRESS,
  DEFAULT_GATEWAY_PORT,
  DEFAULT_HTTP_ADDRESS,
  DEFAULT_HTTP_PORT,
  DEFAULT_MAX_COMMANDS,
  DEFAULT_SIM_NAME,
  type Loopback,
  type LoopbackOptions,
  startLoopback,
} from './loopback.js';
export type { Registration, SimStatus } from './modem/cellular.js';
export { DIALECT_NAMES, type DialectName, type Quirks } from './modem/dialects/index.js';
export type { ModemEvent } from './modem/events.js';
export { formatModemFaults, type ModemFaults, type ModemFaultsInput } from './modem/faults/faults.js';
export type { LoopbackModem, ModemInput, ModemStatus } from './modem/status.js';
export type { CoapSummary, OscoreSummary } from './network/coap-summary.js';
export type { FaultState, Hit } from './network/faults/apply.js';
export {
  type Faults,
  type FaultsInput,
  formatFaults,
  type Hits,
  type Rules,
  type Way,
} from './network/faults/settings.js';
export type { Endpoint } from './network/network.js';
export { curlLine, formatBanner, formatEvent, formatFaultCounts } from './print.js';
export { type Assumptions, type AssumptionsInput, SOURCE_PORTS, type SourcePort } from './vendor-assumptions.js';
export { PROVIDERS, type ProviderName } from './vendor-error.js';
export type { Webhook, WebhookResult } from './webhooks/webhooks.js';
