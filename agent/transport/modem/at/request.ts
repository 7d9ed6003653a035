import type { FinalResult, ModemEvent } from './modem-event.js';

/** The second, asynchronous result of a command that the modem has accepted: success, or an error. */
export type SecondResult = 'done' | { readonly error: string };

/** A command, and how its end is recognised. */
export interface AtRequest {
  /** Without the CR that ends it. */
  readonly command: string;
  /** Written in one piece after the modem's prompt. */
  readonly payload?: Buffer;
  /** Delay from the prompt to the payload: u-blox requires 50 ms. */
  readonly payloadDelayMs?: number;
  readonly timeoutMs: number;
  /** An asynchronous second result, which may come before `OK`. */
  readonly second?: {
    readonly find: (event: ModemEvent) => SecondResult | undefined;
    readonly timeoutMs: number;
    /** A missing second result is no failure. */
    readonly optional?: true;
  };
  /** Results after which the command may be repeated, as the modem reports that it did nothing. */
  readonly busy?: { readonly is: (result: FinalResult) => boolean; readonly waitMs: number; readonly times: number };
  /** Neither repeated after a time-out nor followed by a probe: the command is a probe itself, or resets the modem. */
  readonly once?: true;
  /** Not repeated after a time-out, as its effect is unknown; the modem is probed. */
  readonly unrepeated?: true;
}

export type AtFailure =
  /** The modem reported an error. */
  | 'refused'
  /** No result in time although the modem answers; a datagram may have been sent. */
  | 'timeout'
  /** No result, and no answer to `AT` either. */
  | 'silent'
  /** The modem restarted meanwhile. */
  | 'reset'
  | 'aborted'
  /** The port was lost. */
  | 'closed';

/** The end of a command. */
export type AtOutcome =
  | { readonly ok: true; readonly lines: readonly string[]; readonly payloads: number }
  | {
      readonly ok: false;
      readonly failure: AtFailure;
      /** The modem's error, as it reported it. */
      readonly error: string;
      readonly lines: readonly string[];
    };
