import type { Endpoint } from '../../endpoint.js';
import { type CommandPart, wholeNumber } from './command-line.js';
import { type Header, MAX_PAYLOAD } from './parser.js';

/** The state of a modem's socket, from the commands that were written and the lines that were received. */
export interface SocketState {
  /** Whether the modem sends data unasked; undefined where that is unknown. */
  readonly push?: boolean;
  /** The source of its data, where the modem does not report it. */
  readonly peer?: Endpoint;
}

/** The state of a modem as far as it decides what the next bytes mean. */
export interface ModemState {
  readonly sockets: Map<number, SocketState>;
  /** Sockets that were closed and not opened since. */
  readonly closed: Set<number>;
  /** Whether received payloads are in hexadecimal. */
  hex: boolean;
  /** Whether data of every socket wait until they are read. */
  manual: boolean | undefined;
  /** Whether written payloads are echoed; undefined while that is unknown. */
  payloadEcho: boolean | undefined;
  /** The source of the payload that follows, from a line of its own. */
  source: Endpoint | undefined;
}

/** The effect of a command, as far as it decides what the next bytes mean. */
export type Action =
  /** `bytes` follow the prompt, or a payload that ends with Ctrl-Z; undefined when the command carries the payload. */
  | { readonly type: 'send'; readonly socket: number; readonly bytes: number | 'ctrl-z' | undefined }
  | { readonly type: 'read'; readonly socket: number; readonly most: number; readonly hex: boolean }
  | { readonly type: 'count'; readonly socket: number }
  /** Without `socket` the modem chooses one. */
  | { readonly type: 'open'; readonly socket?: number; readonly state: SocketState }
  /** `later`: a separate line reports when it is closed. */
  | { readonly type: 'close'; readonly socket: number; readonly later: boolean }
  /** A setting, applied once the modem has accepted it. */
  | { readonly type: 'set'; readonly apply: (modem: ModemState) => void };

/** A loss that the modem reports by itself. */
export type LossKind = 'socket' | 'context' | 'reset';

/** The meaning of a line. */
export type LineMeaning =
  | { readonly type: 'pending'; readonly sockets: readonly number[]; readonly bytes?: number }
  | { readonly type: 'counted'; readonly socket: number; readonly bytes: number }
  | { readonly type: 'empty'; readonly socket: number }
  | { readonly type: 'opened'; readonly socket: number; readonly error?: string }
  | { readonly type: 'closed'; readonly socket: number }
  | { readonly type: 'sent'; readonly socket: number; readonly error?: string }
  /** The source of the payload that follows. */
  | { readonly type: 'source'; readonly endpoint: Endpoint }
  /** Explains the ERROR that the command in flight is about to end with. */
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
  /**
   * Names of the lines that answer a command, where they are not the command's own: `+CICCID` is answered by `+ICCID`.
   */
  readonly answerNames: Readonly<Record<string, readonly string[]>>;
  /**
   * Commands without arguments that answer in lines of their own name, or not at all: no other line is their answer.
   */
  readonly namedAnswers: readonly string[];
}

/** The grammar of a dialect: pure functions of a line, the state of the modem, and the command in flight. */
export interface Grammar {
  readonly confirmation: Confirmation;
  readonly words: DialectWords;
  /** Whether written payloads may be echoed although commands are not. */
  readonly echoesPayloads: boolean;
  /** A read of this size may be the first part of a datagram, which the next read from the same source completes. */
  readonly joinAt?: (modem: ModemState) => number;
  action(part: CommandPart, modem: ModemState): Action | undefined;
  header(line: string, modem: ModemState, action: Action | undefined): Header | undefined;
  inline?(beginning: string, modem: ModemState, action: Action | undefined): Header | undefined;
  /** Returns undefined for lines that the transport does not need. */
  meaning(line: string, modem: ModemState, action: Action | undefined): LineMeaning | undefined;
}

export const initialModemState = (): ModemState => ({
  sockets: new Map(),
  closed: new Set(),
  hex: false,
  manual: undefined,
  payloadEcho: undefined,
  source: undefined,
});

/** Whether a header may have this count: positive, and not more than was asked for. */
export const isLength = (length: number, most: number = MAX_PAYLOAD): boolean =>
  length >= 1 && length <= Math.min(most, MAX_PAYLOAD);

/** Returns the groups of a pattern; undefined when it does not match. */
export const matchGroups = (pattern: RegExp, text: string): readonly (string | undefined)[] | undefined =>
  pattern.exec(text)?.slice(1);

/** Returns the endpoint that a line gives; nothing unless it has both address and port. */
export function endpointOf(address: string | undefined, port: string | undefined): Partial<Endpoint> {
  return address && port !== undefined ? { address, port: Number(port) } : {};
}

/** Returns the peer that a command names; placeholders such as 127.0.0.1 count as none. */
export function peerOf(address: string | undefined, port: string | undefined): { readonly peer?: Endpoint } {
  const number = wholeNumber(port);
  return address && number !== undefined && number > 0 && !address.startsWith('127.') && address !== '0.0.0.0'
    ? { peer: { address, port: number } }
    : {};
}
