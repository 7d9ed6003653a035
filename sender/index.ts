export { payloadBytes } from '../shared/ip-command.js';
export { type AccountReplies, type AccountRepliesOptions, accountReplies } from './account-replies.js';
export { ApiError } from './api-error.js';
export {
  type BroadcastCommand,
  type BroadcastOptions,
  type BroadcastSims,
  broadcast,
} from './broadcast/broadcast.js';
export type { Canary } from './broadcast/canary.js';
export type { BroadcastMemory, BroadcastResult } from './broadcast/memory.js';
export {
  type ClientSettings,
  type CreateParams,
  IpCommandClient,
  type IpCommandClientOptions,
  type ListFilters,
  type ListParams,
  type SimResource,
} from './client.js';
export { loadCredentials, loadWebhookSecrets } from './credentials.js';
export type { HttpIo, Sleep } from './http.js';
export type { HttpAnswer, HttpInit } from './http-fetch.js';
export {
  type Credentials,
  KORE_BASE_URL,
  KORE_TOKEN_URL,
  type KoreCredentials,
  TWILIO_BASE_URL,
  type TwilioCredentials,
} from './provider.js';
export {
  type HeardCommand,
  POLL_INTERVAL_MS,
  type PollingOptions,
  pollingReplies,
  type ReplyListener,
  type ReplySource,
} from './replies.js';
export type { BlockProgress } from './request/conversation.js';
export type { Ending, RequestError, RequestResult, Timings } from './request/outcome.js';
export type { RequestParams } from './request/params.js';
export type { Progress } from './request/run.js';
export {
  createRequester,
  REQUEST_FORMATS,
  type RequesterOptions,
  type RequestFormat,
  type RequestFunction,
  type RequestIdentity,
  type RequestOptions,
} from './request.js';
export { VENDOR_CODES } from './vendor-codes.js';
export type { Callback } from './webhooks/callback.js';
export { webhookListener } from './webhooks/node.js';
export {
  createWebhookReceiver,
  type ReceiveContext,
  type WebhookCounters,
  type WebhookReceiver,
  type WebhookReceiverOptions,
} from './webhooks/receiver.js';
export { QUIET_AFTER_MS, type WebhookReplies, type WebhookRepliesOptions, webhookReplies } from './webhooks/replies.js';
