export { payloadBytes } from '../shared/ip-command.js';
export { ApiError } from './api-error.js';
export {
  type CreateParams,
  DEFAULT_BASE_URL,
  IpCommandClient,
  type IpCommandClientOptions,
  type ListFilters,
  type ListParams,
} from './client.js';
export { type Credentials, loadCredentials } from './credentials.js';
export type { HttpIo, Sleep } from './http.js';
