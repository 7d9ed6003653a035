import type { ModemEvent, Result } from './modem-event.js';

/** What a event says about a command that the modem has accepted, or is about to: it worked, or why not. */
export type Second = 'done' | { readonly error: string };

/** A command, and how its end is known. */
export interface Request {
  /** Without its end. */
  readonly command: string;
  /** Written in one piece when the modem asks for it. */
  readonly payload?: Buffer;
  /** From the prompt to the payload: u-blox asks for 50 ms. */
  readonly payloadDelayMs?: number;
  readonly timeoutMs: number;
  /** An asynchronous second result, which may come before `OK`. */
  readonly second?: {
    readonly find: (event: ModemEvent) => Second | undefined;
    readonly timeoutMs: number;
    /** That it does not come is no failure. */
    readonly optional?: true;
  };
  /** Results after which the command may be written again: the modem says that it has done nothing. */
  readonly busy?: { readonly is: (result: Result) => boolean; readonly waitMs: number; readonly times: number };
  /** Not to be repeated after a time-out, and the modem not probed: it is a probe itself, or ends the modem. */
  readonly once?: true;
  /** Probed but not repeated after a time-out: nobody knows what it does. */
  readonly unrepeated?: true;
}

export type Failure =
  /** The modem said so. */
  | 'refused'
  /** No result in time, though the modem is alive; a send may have been sent. */
  | 'timeout'
  /** No result, and no answer to `AT` either. */
  | 'silent'
  /** The modem started anew meanwhile. */
  | 'reset'
  | 'aborted'
  /** The port is gone. */
  | 'closed';

/** How a command ended. */
export type Outcome =
  | { readonly ok: true; readonly lines: readonly string[]; readonly payloads: number }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** The modem's own words. */
      readonly error: string;
      readonly lines: readonly string[];
    };
