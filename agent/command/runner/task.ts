import type { Command, CommandError, Reply } from '../../../shared/command.js';
import type { SupersimError } from '../../../shared/errors.js';
import type { Handler } from '../../handlers/handler.js';

/** Holds a command until its acceptance and its start are on the disk. */
export interface StartGate {
  /** Its key in the journal; undefined without a journal. */
  readonly key: Uint8Array | undefined;
  /** Called when the command is to wait for a place. */
  accept(): void;
  /** Called when it is to start; calls `run` when the command may run, or with the reason why it may not. */
  start(run: (error?: SupersimError) => void): void;
}

/** A command that is ready to run. */
export interface Task {
  readonly command: Command;
  /** The source address of its request, which it counts for. */
  readonly holder: string;
  readonly handler: Handler;
  /** Checked parameters. */
  readonly params: unknown;
  /** Size of its request. */
  readonly bytes: number;
  /** Without it the command runs at once. */
  readonly startGate?: StartGate | undefined;
  /** Returns why the command may not run after all; asked right before its handler is called. */
  readonly mayRun?: (() => CommandError | undefined) | undefined;
  /** Called exactly once; never when the handler's effect ends the agent (`endsWith`) and the agent is stopped. */
  done(reply: Reply): void;
  /** Called once when the command has run for a second. */
  readonly slow?: (() => void) | undefined;
}

/** How much may run and wait. */
export interface RunLimits {
  readonly running: number;
  readonly waiting: number;
  readonly waitingBytes: number;
}
