import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { type Duration, durationSchema, milliseconds } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { DIRECTIONS, type IpCommand, ipCommandSchema, STATUSES } from '../../shared/ip-command.js';
import { MAX_PAYLOAD_BYTES, SAFE_BINARY_BYTES } from '../../shared/limits.js';
import { isIccid, isSimSid, SIM_SID } from '../base/sim-name.js';
import { ApiError } from './api-error.js';
import { type ApiConnection, type ApiRequest, callApi, type HttpIo, realIo } from './http.js';
import { type Credentials, providerOf } from './provider.js';

/** Most pages of one list: more would mean that the API's links form a loop. */
export const MAX_PAGES = 10_000;
/** Most resources on a page: KORE's maximum, and allowed by Twilio (docs/vendor-facts.md, "API: lists"). */
export const PAGE_SIZE = 100;
/** SIMs on a page: the most that both providers allow (docs/vendor-facts.md, "API: lists"). */
const SIMS_PAGE_SIZE = 1000;

export interface ClientSettings {
  /** Time-out of one attempt of a call, from `10ms` to `10min`; default `30s`. */
  readonly timeout?: Duration | undefined;
  /**
   * Most raw bytes of a binary payload, 1 to 1300; default 975, which fits whether the API's limit of 1300 counts
   * bytes or Base64 characters (docs/vendor-facts.md, "IP Commands: payload size").
   */
  readonly sizeLimit?: number | undefined;
  /** Aborts the client's calls. */
  readonly signal?: AbortSignal | undefined;
  /** Replaces `fetch`, the clock and the random numbers, for tests. */
  readonly io?: Partial<HttpIo> | undefined;
}

/** The kind of credentials selects the provider. */
export type IpCommandClientOptions = Credentials & ClientSettings;

export interface CreateParams {
  /** The SIM's SID or unique name. */
  readonly sim: string;
  /** A string is sent as text (UTF-8), bytes as binary (Base64). */
  readonly payload: string | Uint8Array;
  /** The UDP port on the device, 1 to 65535. */
  readonly devicePort: number;
  /** Called when the command's status changes. */
  readonly callbackUrl?: string | undefined;
  /** Default of the API: POST. */
  readonly callbackMethod?: 'GET' | 'POST' | undefined;
}

/** Filters of a list of IP Commands; all when empty. */
export interface ListFilters {
  /** The SIM's SID or unique name. */
  readonly sim?: string | undefined;
  readonly simIccid?: string | undefined;
  readonly status?: IpCommand['status'] | undefined;
  readonly direction?: IpCommand['direction'] | undefined;
  /** Resources on a page, 1 to 1000 (100 at KORE); default 100, or `limit` where that is less. */
  readonly pageSize?: number | undefined;
}

export interface ListParams extends ListFilters {
  /** Most IP Commands to give; default all. */
  readonly limit?: number | undefined;
}

const settingsSchema = z.object({
  timeout: durationSchema('10ms', '10min').default('30s'),
  sizeLimit: z.int().min(1).max(MAX_PAYLOAD_BYTES).default(SAFE_BINARY_BYTES),
});

const sim = z.string().min(1);

const simName = sim.refine((text) => text.isWellFormed(), 'must be well-formed Unicode');

const createSchema = z.object({
  sim,
  payload: z.union([z.string(), z.instanceof(Uint8Array)]),
  devicePort: z.int().min(1).max(65_535),
  callbackUrl: z.url({ protocol: /^https?$/ }).optional(),
  callbackMethod: z.enum(['GET', 'POST']).optional(),
});

const listSchema = z.object({
  sim: sim.optional(),
  simIccid: z.string().min(1).optional(),
  status: z.enum(STATUSES).optional(),
  direction: z.enum(DIRECTIONS).optional(),
  pageSize: z.int().min(1).default(PAGE_SIZE),
});

const limitSchema = z.int().min(1).optional();

const meta = z.object({ next_page_url: z.string().nullish() });
const pageSchema = z.object({ ip_commands: z.array(ipCommandSchema), meta });

/** The members of the Sim resource that commands need; others pass. */
const simSchema = z.object({
  sid: z.string().regex(SIM_SID),
  unique_name: z.string().nullish(),
  iccid: z.string().nullish(),
  status: z.string(),
  fleet_sid: z.string().nullish(),
});
export type SimResource = z.output<typeof simSchema>;

const simPageSchema = z.object({ sims: z.array(simSchema), meta });

/**
 * A client of the Super SIM API's IP Commands (docs/vendor-facts.md, "API: operations"), at KORE or at Twilio.
 *
 * Every method throws ApiError when the API refuses, and SupersimError `bad-input`, `api-unreachable` or
 * `api-invalid-response`.
 */
export class IpCommandClient {
  /** Most commands on a page of this provider's list. */
  readonly maxPageSize: number;
  readonly #connection: ApiConnection;
  readonly #collection: URL;
  readonly #sizeLimit: number;

  /** @throws SupersimError `bad-input` */
  constructor(options: IpCommandClientOptions) {
    const { timeout, sizeLimit } = checkInput(settingsSchema, options, 'the client’s options');
    const { baseUrl, maxPageSize, authorize } = providerOf(options);
    const connection = {
      timeout: milliseconds(timeout),
      signal: options.signal,
      io: { ...realIo, ...options.io },
    };
    this.#connection = { ...connection, authorization: authorize(connection) };
    this.#collection = new URL(`${baseUrl}/v1/IpCommands`);
    this.#sizeLimit = sizeLimit;
    this.maxPageSize = maxPageSize;
  }

  /**
   * Sends a payload to a SIM's device. The API answers before the network has sent it: the status is `queued`.
   *
   * @param onBusy called whenever the API takes no call now, as there are too many at once (429), and the call is retried
   * @throws SupersimError `too-large` before anything is sent
   * @throws SupersimError `api-unknown-fate` when it may have been sent; it is not retried
   */
  async create(params: CreateParams, onBusy?: () => void): Promise<IpCommand> {
    const form = createForm(params, this.#sizeLimit);
    const request = { method: 'POST', url: this.#collection, form, repeatable: false, onBusy } as const;
    return callApi(this.#connection, request, ipCommandSchema);
  }

  /** Fetches one IP Command by its SID (`HG…`). */
  async fetch(sid: string): Promise<IpCommand> {
    const checked = checkInput(ipCommandSchema.shape.sid, sid, 'the SID of an IP Command');
    return callApi(this.#connection, this.#get(`${this.#collection.href}/${checked}`), ipCommandSchema);
  }

  /** Yields IP Commands in the API's order, newest first though not documented; pages are read when needed. */
  async *list(params: ListParams = {}): AsyncGenerator<IpCommand, void, undefined> {
    const limit = checkInput(limitSchema, params.limit, 'limit') ?? Number.POSITIVE_INFINITY;
    let left = limit;
    for await (const page of this.pages({ ...params, pageSize: params.pageSize ?? Math.min(limit, PAGE_SIZE) })) {
      yield* page.slice(0, left);
      left -= page.length;
      if (left <= 0) return;
    }
  }

  /** Yields the pages of a list; at most {@link MAX_PAGES} are read. */
  async *pages(filters: ListFilters = {}): AsyncGenerator<readonly IpCommand[], void, undefined> {
    const first = `${this.#collection.href}?${listQuery(filters, this.maxPageSize)}`;
    for await (const { ip_commands } of this.#follow(first, pageSchema)) yield ip_commands;
  }

  /**
   * Yields the SIMs of a Fleet, by its SID or unique name.
   *
   * @param signal ends the reading, as the client's own does
   */
  async *sims(fleet: string, signal?: AbortSignal): AsyncGenerator<SimResource, void, undefined> {
    const query = new URLSearchParams({ Fleet: checkInput(sim, fleet, 'the Fleet'), PageSize: `${SIMS_PAGE_SIZE}` });
    const first = `${new URL('Sims', this.#collection).href}?${query}`;
    for await (const { sims } of this.#follow(first, simPageSchema, signal)) yield* sims;
  }

  /**
   * Finds a SIM by its SID, its ICCID (18 to 22 digits) or its unique name.
   *
   * @returns undefined when there is none
   */
  async sim(name: string): Promise<SimResource | undefined> {
    const wanted = checkInput(simName, name, 'the SIM');
    const collection = new URL('Sims', this.#collection).href;
    if (isIccid(wanted)) {
      const query = new URLSearchParams({ Iccid: wanted });
      const { sims } = await callApi(this.#connection, this.#get(`${collection}?${query}`), simPageSchema);
      return sims.find(({ iccid }) => iccid === wanted);
    }
    const found = await this.#simAt(collection, wanted);
    if (found?.sid.toLowerCase() === wanted.toLowerCase() || found?.unique_name === wanted) return found;
    if (isSimSid(wanted)) return undefined;
    for await (const { sims } of this.#follow(`${collection}?PageSize=${SIMS_PAGE_SIZE}`, simPageSchema)) {
      const named = sims.find(({ unique_name }) => unique_name === wanted);
      if (named !== undefined) return named;
    }
    return undefined;
  }

  async #simAt(collection: string, name: string): Promise<SimResource | undefined> {
    // A URL cannot have them as the name of a resource.
    if (name === '.' || name === '..') return undefined;
    try {
      return await callApi(this.#connection, this.#get(`${collection}/${encodeURIComponent(name)}`), simSchema);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  async *#follow<S extends z.ZodType<{ meta: z.output<typeof meta> }>>(
    first: string,
    schema: S,
    signal?: AbortSignal,
  ): AsyncGenerator<z.output<S>, void, undefined> {
    const signals = [this.#connection.signal, signal].filter((each) => each !== undefined);
    const connection = { ...this.#connection, signal: signals.length === 0 ? undefined : AbortSignal.any(signals) };
    let url: string | undefined = first;
    for (let page = 0; url !== undefined; page++) {
      if (page === MAX_PAGES) throw invalidResponse(`the list has more than ${MAX_PAGES} pages`);
      const body: z.output<S> = await callApi(connection, this.#get(url), schema);
      yield body;
      url = body.meta.next_page_url ?? undefined;
    }
  }

  /** Makes a GET of this API: credentials are sent to no other origin, whatever a page's next link says. */
  #get(href: string): ApiRequest {
    const { origin } = this.#collection;
    const url = URL.canParse(href, origin) ? new URL(href, origin) : undefined;
    if (url?.origin !== origin) throw invalidResponse(`the next page is not at ${origin}: ${href.slice(0, 200)}`);
    return { method: 'GET', url, repeatable: true };
  }
}

const invalidResponse = (message: string) => new SupersimError('api-invalid-response', message);

function createForm(params: CreateParams, sizeLimit: number): URLSearchParams {
  const checked = checkInput(createSchema, params, 'the command');
  const { payload } = checked;
  const form = new URLSearchParams({ Sim: checked.sim });
  if (typeof payload === 'string') {
    checkText(payload);
    form.set('Payload', payload);
  } else {
    checkSize(payload.length, sizeLimit, 'binary');
    form.set('Payload', Buffer.from(payload).toString('base64'));
  }
  form.set('DevicePort', String(checked.devicePort));
  form.set('PayloadType', typeof payload === 'string' ? 'text' : 'binary');
  if (checked.callbackUrl !== undefined) form.set('CallbackUrl', checked.callbackUrl);
  if (checked.callbackMethod !== undefined) form.set('CallbackMethod', checked.callbackMethod);
  return form;
}

function checkText(text: string): void {
  if (!text.isWellFormed())
    throw new SupersimError('bad-input', 'the payload is not well-formed Unicode (a lone surrogate)');
  checkSize(Buffer.byteLength(text), MAX_PAYLOAD_BYTES, 'text');
}

function checkSize(size: number, limit: number, type: IpCommand['payload_type']): void {
  if (size === 0) throw new SupersimError('bad-input', 'the payload is empty');
  if (size <= limit) return;
  throw new SupersimError('too-large', `the ${type} payload has ${size} bytes, the limit is ${limit}`);
}

function listQuery(filters: ListFilters, maxPageSize: number): URLSearchParams {
  const checked = checkInput(listSchema, filters, 'the list’s filters');
  checkInput(z.int().max(maxPageSize), checked.pageSize, 'pageSize');
  const query = new URLSearchParams();
  if (checked.sim !== undefined) query.set('Sim', checked.sim);
  if (checked.simIccid !== undefined) query.set('SimIccid', checked.simIccid);
  if (checked.status !== undefined) query.set('Status', checked.status);
  if (checked.direction !== undefined) query.set('Direction', checked.direction);
  query.set('PageSize', String(checked.pageSize));
  return query;
}
