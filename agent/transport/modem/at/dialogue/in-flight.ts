import { type CommandPart, splitCommand } from '../command-line.js';
import type { Action, Confirmation, Grammar, LineMeaning, ModemState } from '../grammar.js';
import type { ModemEvent } from '../modem-event.js';

type CommandAction = Exclude<Action, { type: 'set' }>;

/** A command in flight, and what was received for it. */
export interface CommandInFlight {
  readonly command: string;
  readonly parts: readonly CommandPart[];
  readonly settings: readonly Extract<Action, { type: 'set' }>[];
  readonly action: CommandAction | undefined;
  readonly lines: string[];
  echoed: boolean;
  prompted: boolean;
  written: Buffer | undefined;
  payloads: number;
  /** An echo of the payload that reads like an answer: it is taken for one if no answer follows. */
  likeAnswer: Buffer | undefined;
  confirmed: Extract<LineMeaning, { type: 'sent' }> | undefined;
  detail: string | undefined;
}

/** @param command as it was written, without its end */
export function beginCommand(command: string, grammar: Grammar, modem: ModemState): CommandInFlight {
  const parts = splitCommand(command);
  const actions = parts.flatMap((part) => grammar.action(part, modem) ?? []);
  return {
    command: command.trim(),
    parts,
    settings: actions.filter((one) => one.type === 'set'),
    action: actions.find((one) => one.type !== 'set'),
    lines: [],
    echoed: false,
    prompted: false,
    written: undefined,
    payloads: 0,
    likeAnswer: undefined,
    confirmed: undefined,
    detail: undefined,
  };
}

/** Whether a command is a query, so that lines of its name are its answer. */
export const isQuestion = (inFlight: CommandInFlight | undefined): boolean =>
  inFlight?.parts.some(({ form }) => form === '?') === true;

/** Whether a prompt for the payload is still to come. */
export const awaitsPrompt = (inFlight: CommandInFlight | undefined): boolean =>
  inFlight?.action?.type === 'send' && inFlight.action.bytes !== undefined && !inFlight.prompted;

/** Returns the payload that the modem waits for: its length, and whether the prompt was received. */
export function awaitedPayload(inFlight: CommandInFlight | undefined) {
  const { action, prompted, written } = inFlight ?? {};
  if (action?.type !== 'send' || action.bytes === undefined || written !== undefined) return undefined;
  return { bytes: action.bytes, prompted: prompted === true };
}

/**
 * Whether a command sends by this socket and its payload was written: an earlier confirmation belongs to another send.
 */
export const hasSent = ({ action, written }: CommandInFlight, socket?: number): boolean =>
  action?.type === 'send' &&
  (socket === undefined || action.socket === socket) &&
  (action.bytes === undefined || written !== undefined);

/** Whether a final result can belong to this command: a late or stray result must not end it. */
export function mayEnd(inFlight: CommandInFlight, text: string, { confirmation, words }: Grammar): boolean {
  if (words.sendResults.includes(text)) return hasSent(inFlight);
  if (text !== 'OK' || inFlight.action?.type !== 'send') return true;
  return confirmation === 'result' ? inFlight.confirmed !== undefined : hasSent(inFlight);
}

/** Returns the outcome of a send that has its final result; undefined when the confirmation is still to come. */
export function sendOutcome(
  { confirmed, detail }: CommandInFlight,
  socket: number,
  { text, ok }: { readonly text: string; readonly ok: boolean },
  confirmation: Confirmation,
): ModemEvent | undefined {
  const sent = (error?: string): ModemEvent => ({ kind: 'sent', socket, ...(error !== undefined && { error }) });
  if (!ok) return sent(detail ?? text);
  if (confirmed !== undefined) return sent(confirmed.error);
  if (confirmation === 'around') return undefined;
  return sent(confirmation === 'before' ? 'the modem did not confirm the send' : undefined);
}
