export type { JournalIdentity } from '../shared/format/journal-identity.js';
export { payloadBytes } from '../shared/ip-command.js';
export { ApiError } from './api/api-error.js';
export {
  type ClientSettings,
  type CreateParams,
  IpCommandClient,
  type IpCommandClientOptions,
  type ListFilters,
  type ListParams,
  type SimResource,
} from './api/client.js';
export { loadCredentials, loadWebhookSecrets } from './api/credentials.js';
export type { HttpIo, Sleep } from './api/http.js';
export type { HttpAnswer, HttpInit } from './api/node-fetch.js';
export {
  type Credentials,
  KORE_BASE_URL,
  KORE_TOKEN_URL,
  type KoreCredentials,
  TWILIO_BASE_URL,
  type TwilioCredentials,
} from './api/provider.js';
export { VENDOR_CODE_MEANINGS } from './api/vendor-codes.js';
export { broadcast } from './broadcast/broadcast.js';
export type { Canary } from './broadcast/canary.js';
export type { BroadcastMemory, BroadcastResult } from './broadcast/memory.js';
export type { BroadcastCommand, BroadcastOptions, BroadcastSims } from './broadcast/options.js';
export { type AccountReplies, type AccountRepliesOptions, accountReplies } from './replies/account-polling.js';
export {
  type CommandUpdate,
  POLL_INTERVAL_MS,
  type PollingOptions,
  pollingReplies,
  type ReplyListener,
  type ReplySource,
} from './replies/polling.js';
export {
  QUIET_AFTER_MS,
  type WebhookReplies,
  type WebhookRepliesOptions,
  webhookReplies,
} from './replies/webhook-replies.js';
export type { BlockProgress } from './request/conversation.js';
export type { RequestParams } from './request/params.js';
export type { RequestProtection, StoreProtection } from './request/protection.js';
export {
  createRequester,
  REQUEST_FORMATS,
  type RequesterOptions,
  type RequestFormat,
  type RequestFunction,
  type RequestIdentity,
  type RequestOptions,
  type SimLookup,
} from './request/request.js';
export type { RequestEnding, RequestError, RequestResult, Timings } from './request/result.js';
export type { RequestProgress } from './request/run-request.js';
export type { EventFreshness } from './security/event-windows.js';
export type {
  AuthenticEvent,
  OpenDatagram,
  OpenedDatagram,
  ReportedDatagram,
  SealedReason,
} from './security/events.js';
export type { DrawNumber } from './security/numbers.js';
export type { OperatorKey, SimNames } from './security/operator-key.js';
export {
  type FindSim,
  openSecurity,
  type SecurityOptions,
  type SenderSecurity,
} from './security/security.js';
export type { Callback } from './webhooks/callback.js';
export { webhookListener } from './webhooks/node.js';
export {
  createWebhookReceiver,
  type ReceiveContext,
  type WebhookCounters,
  type WebhookReceiver,
  type WebhookReceiverOptions,
} from './webhooks/receiver.js';
