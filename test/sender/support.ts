import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { onTestFinished } from 'vitest';
import {
  type ClientSettings,
  IpCommandClient,
  type KoreCredentials,
  type TwilioCredentials,
} from '../../sender/index.js';
import type { IpCommand } from '../../shared/ip-command.js';

export const ACCOUNT = `AC${'1'.repeat(32)}`;
export const SIM = `HS${'2'.repeat(32)}`;

/** A request as the server got it. */
export interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = (response: ServerResponse, seen: Seen, count: number) => unknown;

export interface Api {
  readonly url: string;
  readonly seen: readonly Seen[];
}

/** A server on 127.0.0.1 that gives every request the same answer; it ends with the test. */
export async function startApi(answer: Answer): Promise<Api> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    const one = { method, url, headers, body: Buffer.concat(chunks).toString() };
    seen.push(one);
    answer(response, one, seen.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { url: `http://127.0.0.1:${address.port}`, seen };
}

/** The address of a port that nobody listens on any more. */
export async function closedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return `http://127.0.0.1:${address.port}`;
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** An error as the vendor writes it. */
export const vendorError = (status: number, code: number) => ({
  code,
  message: `this is ${code}`,
  more_info: `https://www.twilio.com/docs/errors/${code}`,
  status,
});

export function ipCommand(number = 1, members: Partial<IpCommand> = {}): IpCommand {
  const sid = `HG${number.toString(16).padStart(32, '0')}`;
  return {
    sid,
    account_sid: ACCOUNT,
    sim_sid: SIM,
    sim_iccid: '89883070000000000001',
    status: 'queued',
    direction: 'to_sim',
    device_ip: null,
    device_port: 6969,
    payload_type: 'text',
    payload: `payload ${number}`,
    date_created: '2026-03-01T12:00:00Z',
    date_updated: '2026-03-01T12:00:00Z',
    url: `https://supersim.twilio.com/v1/IpCommands/${sid}`,
    ...members,
  };
}

/** Chance that always says one half, and waits that take no time: `slept` are those that were asked for. */
function patientIo() {
  const slept: number[] = [];
  const sleep = async (ms: number) => {
    slept.push(ms);
  };
  return { slept, io: { sleep, random: () => 0.5 } };
}

/** Twilio's client, with the waits that it asked for. */
export function makeClient(baseUrl: string, options: Partial<TwilioCredentials & ClientSettings> = {}) {
  const { slept, io } = patientIo();
  const credentials = { accountSid: ACCOUNT, authToken: 'secret', baseUrl };
  const client = new IpCommandClient({ ...credentials, ...options, io: { ...io, ...options.io } });
  return { client, slept };
}

/** KORE's client, with the waits that it asked for. */
export function makeKoreClient(baseUrl: string, options: Partial<KoreCredentials> = {}) {
  const { slept, io } = patientIo();
  const client = new IpCommandClient({ clientId: 'client', clientSecret: 'secret', baseUrl, ...options, io });
  return { client, slept };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`did not reject, but gave ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

/** A stream that keeps what is written to it. */
export class Sink extends Writable {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number | undefined;

  constructor({ isTTY = false, columns }: { isTTY?: boolean; columns?: number } = {}) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
