import type * as z from 'zod';
import type { ModemConsole } from '../../transport/transport.js';
import type { CommandView, sentEventSchema } from './schema.js';

type MaybePromise<T> = T | Promise<T>;

/** The journal's commands, for the control socket. */
export interface ControlCommands {
  /** Newest first. */
  list(limit: number): MaybePromise<readonly CommandView[]>;
  get(id: number): MaybePromise<CommandView | undefined>;
  /** Cancels a command that has not started. */
  cancel(id: number): MaybePromise<'cancelled' | 'not-found' | 'too-late'>;
  /** Deletes the finished commands, also those of which only the outcome is kept, and returns their number. */
  purge(): MaybePromise<number>;
}

/** The modem that the agent uses, for the control socket. */
export interface ControlModem extends ModemConsole {
  /** Path of its serial port. */
  readonly path: string;
  /** Identifies the modem's log: it changes whenever the log's numbering starts again at 1. */
  readonly run: string;
  /** Returns the dialect's name; undefined while it is not known. */
  dialect(): string | undefined;
}

/** Where an event is once the agent has accepted it. */
export type EventState = z.output<typeof sentEventSchema>['state'];

/** Sends the events of other programs. */
export interface ControlEvents {
  /**
   * Resolves when the event has been sent or is in the outbox.
   *
   * @param isJson true where the body is a JSON object of the event's name and data; else it is sent as it is
   * @throws (rejects) SupersimError
   */
  send(body: Buffer, isJson: boolean): Promise<EventState>;
}

/** The level of the agent's log. */
export interface ControlLogLevel {
  /** Returns the level in force and the one in the configuration. */
  get(): { readonly level: string; readonly configured: string };
  /** Sets the level until the next reload or restart. */
  set(level: string): void;
}

/** What the control socket reads and changes. Absent members are answered with an error. */
export interface ControlTarget {
  status(): MaybePromise<object>;
  readonly events?: ControlEvents | undefined;
  /** Returns the metrics in Prometheus's text format. */
  metrics?(): Promise<string>;
  /** Undefined without a journal. */
  readonly commands: ControlCommands | undefined;
  /** Undefined without a modem. */
  readonly modem?: MaybePromise<ControlModem | undefined>;
  /** Reads the configuration again and applies it; resolves to what changed. @throws (rejects) SupersimError */
  reload?(): Promise<object>;
  readonly logLevel?: ControlLogLevel;
}
