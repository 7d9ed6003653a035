import { type IncomingMessage, request } from 'node:http';
import type * as z from 'zod';
import { readBody } from '../../../shared/async/read-body.js';
import { describeIssues } from '../../../shared/check-input.js';
import {
  ERRORS,
  type ErrorCode,
  isSupersimError,
  messageOf,
  SupersimError,
  systemCodeOf,
} from '../../../shared/errors.js';
import { MAX_RESPONSE_BYTES, problemSchema } from './schema.js';

/** A little longer than the agent's own limit for a connection. */
const DEFAULT_ANSWER_MS = 12_000;
const SLACK_MS = 2000;

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface AskOptions {
  /** The agent's time limit for this request, where it is not the default. */
  readonly answerMs?: number | undefined;
  readonly body?: { readonly type: string; readonly bytes: Uint8Array } | undefined;
}

/** Sends a request to the agent; resolves to the answer as parsed by the schema. */
export type Ask = <S extends z.ZodType>(
  method: Method,
  path: string,
  schema: S,
  options?: AskOptions,
) => Promise<z.output<S>>;

/**
 * Makes a client of an agent's control socket. Its requests reject with SupersimError `control-unreachable`,
 * `control-forbidden` or `control-invalid-response`, or with the error that the agent answers.
 */
export function controlClient(socketPath: string): Ask {
  return async (method, path, schema, options) => {
    const result = schema.safeParse(fromJson(await askText(socketPath, method, path, options)));
    if (result.success) return result.data;
    throw unexpected(socketPath, describeIssues(result.error.issues));
  };
}

/** The answer as it is written. @throws SupersimError */
export async function askText(
  socketPath: string,
  method: Method,
  path: string,
  options: AskOptions = {},
): Promise<string> {
  const { status, text } = await exchange(socketPath, method, path, options);
  if (status !== 200) throw problemOf(text, status, socketPath);
  return text;
}

interface Exchanged {
  readonly status: number | undefined;
  readonly text: string;
}

async function exchange(
  socketPath: string,
  method: Method,
  path: string,
  { answerMs, body }: AskOptions,
): Promise<Exchanged> {
  const timeoutMs = answerMs === undefined ? DEFAULT_ANSWER_MS : answerMs + SLACK_MS;
  const headers = body && { 'content-type': body.type, 'content-length': body.bytes.length };
  const signal = AbortSignal.timeout(timeoutMs);
  /** The request's own error says more than that of a body which it cut off. */
  let requestError: Error | undefined;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({ socketPath, method, path, headers, agent: false, signal }, resolve);
      outgoing.on('error', (error) => {
        requestError = error;
        reject(error);
      });
      outgoing.end(body?.bytes);
    });
    const bytes = await readBody(response, MAX_RESPONSE_BYTES);
    if (bytes === undefined) throw unexpected(socketPath, 'it is too long');
    return { status: response.statusCode, text: bytes.toString() };
  } catch (error) {
    throw connectionError(requestError ?? error, socketPath, signal.aborted ? timeoutMs : undefined);
  }
}

/** @param lateMs the time limit, where it was exceeded */
function connectionError(error: unknown, socketPath: string, lateMs: number | undefined): SupersimError {
  if (isSupersimError(error)) return error;
  const code = systemCodeOf(error) ?? '';
  const cause = { cause: error };
  if (lateMs !== undefined) {
    return new SupersimError('control-unreachable', `no answer on ${socketPath} within ${lateMs / 1000} s`, {
      ...cause,
      remedy: 'The agent hangs or is overloaded: read its log with `journalctl -u supersim-agent`.',
    });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new SupersimError('control-forbidden', `this user may not use ${socketPath}`, cause);
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return new SupersimError('control-unreachable', `${socketPath} was closed before it answered`, {
      ...cause,
      remedy: 'Try again: the agent serves few clients at once, or is stopping.',
    });
  }
  if (code.startsWith('HPE_')) return unexpected(socketPath, 'it is not HTTP');
  return new SupersimError('control-unreachable', `no agent listens on ${socketPath}: ${messageOf(error)}`, cause);
}

/** Returns the error that the agent answered. */
function problemOf(text: string, status: number | undefined, socketPath: string): SupersimError {
  const result = problemSchema.safeParse(fromJson(text));
  if (!result.success) return unexpected(socketPath, `HTTP status ${status}`);
  const { code, message, remedy } = result.data;
  if (isErrorCode(code)) return new SupersimError(code, message, { remedy });
  return new SupersimError('control-invalid-response', `${code}: ${message}`, { remedy });
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

const unexpected = (socketPath: string, what: string) =>
  new SupersimError('control-invalid-response', `the answer on ${socketPath} is not the agent’s: ${what}`);

/** Returns undefined for invalid JSON, which no schema here accepts. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
