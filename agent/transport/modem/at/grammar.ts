import type { Endpoint } from '../../endpoint.js';
import { type CommandPart, wholeNumber } from './command-line.js';
import { type Header, MAX_PAYLOAD } from './parser.js';

/** What is known of a modem's socket from the commands that were written and the lines that came. */
export interface Socket {
  /** Whether data come by themselves; undefined when that cannot be known. */
  readonly push?: boolean;
  /** Where its data come from, when the modem does not tell. */
  readonly peer?: Endpoint;
}

/** What the commands and lines so far have told. It decides what the next bytes mean. */
export interface ModemState {
  readonly sockets: Map<number, Socket>;
  /** Sockets that were closed, and not opened since. */
  readonly closed: Set<number>;
  /** Payloads come in hexadecimal. */
  hex: boolean;
  /** Data wait until they are read, on every socket. */
  manual: boolean | undefined;
  /** Written payloads are echoed; undefined while nobody has said so. */
  payloadEcho: boolean | undefined;
  /** The line with the source of the payload that follows has come. */
  source: Endpoint | undefined;
}

/** What a command does, as far as it decides what comes next. */
export type Action =
  /** `bytes` are to follow the prompt, or what ends with Ctrl-Z; undefined when the command has the payload itself. */
  | { readonly type: 'send'; readonly socket: number; readonly bytes: number | 'ctrl-z' | undefined }
  | { readonly type: 'read'; readonly socket: number; readonly most: number; readonly hex: boolean }
  | { readonly type: 'count'; readonly socket: number }
  /** The modem chooses the socket where it is not given. */
  | { readonly type: 'open'; readonly socket?: number; readonly state: Socket }
  /** `later`: a line of its own says when it is closed. */
  | { readonly type: 'close'; readonly socket: number; readonly later: boolean }
  /** A setting, in force once the modem has accepted it. */
  | { readonly type: 'set'; readonly apply: (known: ModemState) => void };

/** What has happened to the modem without our doing. */
export type LossKind = 'socket' | 'context' | 'reset';

/** What a line says. */
export type LineMeaning =
  | { readonly type: 'pending'; readonly sockets: readonly number[]; readonly bytes?: number }
  | { readonly type: 'counted'; readonly socket: number; readonly bytes: number }
  | { readonly type: 'empty'; readonly socket: number }
  | { readonly type: 'opened'; readonly socket: number; readonly error?: string }
  | { readonly type: 'closed'; readonly socket: number }
  | { readonly type: 'sent'; readonly socket: number; readonly error?: string }
  /** Part of the payload that follows. */
  | { readonly type: 'source'; readonly endpoint: Endpoint }
  /** Why the command in flight is about to end with ERROR. */
  | { readonly type: 'detail' }
  | { readonly type: 'information' }
  | { readonly type: 'urc'; readonly loss?: LossKind }
  | { readonly type: 'garbage' };

/**
 * How a dialect confirms a send: by the final result alone (`result`), by a line that may come (`may`), must come
 * before `OK` (`before`), or comes before or after it (`around`).
 */
export type Confirmation = 'result' | 'may' | 'before' | 'around';

/** Words of a dialect by which a line is told from another, besides those that every modem has. */
export interface DialectWords {
  /** Final results of a send, besides `OK` and `ERROR`. */
  readonly sendResults: readonly string[];
  /** Names of lines that explain the ERROR of whichever command is in flight: `+IP ERROR`. */
  readonly errorNames: readonly string[];
  /** Names of the lines that answer a command, where they are not the command's own: `+CICCID` is answered by `+ICCID`. */
  readonly answerNames: Readonly<Record<string, readonly string[]>>;
  /** Commands without arguments that answer in lines of their own name, or not at all: no other line is their answer. */
  readonly namedAnswers: readonly string[];
}

/** How a dialect speaks: pure functions of a line, what is known, and the command in flight. */
export interface Grammar {
  readonly confirmation: Confirmation;
  readonly words: DialectWords;
  /** Whether written payloads may be echoed although commands are not. */
  readonly echoesPayloads: boolean;
  /** A datagram whose reads have this size may go on in the next read; from the same source it is put together. */
  readonly joinAt?: (known: ModemState) => number;
  action(part: CommandPart, known: ModemState): Action | undefined;
  header(line: string, known: ModemState, action: Action | undefined): Header | undefined;
  inline?(beginning: string, known: ModemState, action: Action | undefined): Header | undefined;
  /** Undefined for lines that mean nothing to the transport. */
  meaning(line: string, known: ModemState, action: Action | undefined): LineMeaning | undefined;
}

export const initialModemState = (): ModemState => ({
  sockets: new Map(),
  closed: new Set(),
  hex: false,
  manual: undefined,
  payloadEcho: undefined,
  source: undefined,
});

/** A count that a header may have: positive, and not more than was asked for. */
export const isLength = (length: number, most: number = MAX_PAYLOAD): boolean =>
  length >= 1 && length <= Math.min(most, MAX_PAYLOAD);

/** The groups of a pattern, as text; undefined when it does not match. */
export const match = (pattern: RegExp, text: string): readonly (string | undefined)[] | undefined =>
  pattern.exec(text)?.slice(1);

/** An address and a port, when a line has both. */
export function endpoint(address: string | undefined, port: string | undefined): Partial<Endpoint> {
  return address && port !== undefined ? { address, port: Number(port) } : {};
}

/** A peer that a command names; addresses such as 127.0.0.1 stand for none. */
export function peerOf(address: string | undefined, port: string | undefined): { readonly peer?: Endpoint } {
  const number = wholeNumber(port);
  return address && number !== undefined && number > 0 && !address.startsWith('127.') && address !== '0.0.0.0'
    ? { peer: { address, port: number } }
    : {};
}
