import type { ModemClock } from '../clock.js';
import { type AtCommand, parseCommands } from './command-line.js';
import { framed, latin1, type OutputUnit } from './output-unit.js';

/** Longest command line; u-blox takes 512 bytes as hexadecimal digits in one. */
const MAX_LINE = 2048;
/** Bytes of input kept while a command runs. */
const MAX_INPUT = 8192;

const CR = 0x0d;
const LF = 0x0a;
const BACKSPACE = 0x08;
const CTRL_Z = 0x1a;
const ESC = 0x1b;

/** The answer of a command's handler: any lines, then exactly one result. */
export interface AtAnswer {
  line(text: string): void;
  /** Prints header, raw payload and end in one piece. */
  data(header: string, payload: Buffer, end: string): void;
  ok(): void;
  /** A plain `ERROR`, whatever CMEE says. */
  error(): void;
  /** `+CME ERROR` in the form that CMEE asks for. */
  cme(code: number): void;
  /** Prints a result of the dialect's own, with its line ends. */
  result(bytes: Buffer, ok: boolean): void;
  /** Prints the prompt and collects the host's next bytes. */
  collect(input: DataInput): void;
  /** Calls `task` after `ms`. Input waits meanwhile, or is discarded. */
  later(ms: number, task: () => void, input?: 'ignore-input'): void;
}

export interface DataInput {
  readonly prompt: string;
  /** Bytes to collect; undefined: until Ctrl-Z. ESC cancels where there is no length. */
  readonly length: number | undefined;
  readonly echo: boolean;
  /** Time after the prompt in which input is discarded. */
  readonly ignoreMs?: number;
  /** Time for the host to write all of it; default: no limit. */
  readonly timeoutMs?: number | undefined;
  /** @param bytes undefined when the host cancelled or the time was over */
  readonly done: (bytes: Buffer | undefined) => void;
}

export type AtHandler = (command: AtCommand, answer: AtAnswer) => void;

export interface InterpreterOptions {
  readonly clock: ModemClock;
  readonly emit: (unit: OutputUnit) => void;
  readonly handler: (name: string) => AtHandler | undefined;
  /** Returns the CME number with which a fault refuses a command. */
  readonly refuse: (text: string) => number | undefined;
  readonly formatCme: (code: number) => string;
  readonly unknown: (answer: AtAnswer) => void;
  /** Called with the command line and its result. */
  readonly onResult: (text: string, result: string) => void;
}

/** The AT command interpreter: echo, line editing, one command after the other, data after prompts. */
export interface Interpreter {
  input(bytes: Buffer): void;
  readonly echo: boolean;
  setEcho(on: boolean): void;
}

export function createInterpreter(options: InterpreterOptions): Interpreter {
  const { clock, emit } = options;
  let echo = true;
  let line: number[] = [];
  let pending = Buffer.alloc(0);
  let running = false;
  let ignoresInput = false;
  let collecting: { input: DataInput; bytes: number[]; since: number; stop: () => void } | undefined;

  function input(bytes: Buffer): void {
    if (ignoresInput) return;
    pending = Buffer.concat([pending, bytes]);
    if (pending.length > MAX_INPUT) pending = pending.subarray(pending.length - MAX_INPUT);
    drain();
  }

  /** Processes the input, until a command runs that does not end at once. */
  function drain(): void {
    while (pending.length > 0) {
      if (collecting !== undefined) takeData();
      else if (running) return;
      else takeLine();
    }
  }

  function takeLine(): void {
    const end = pending.indexOf(CR);
    // A line feed behind it is echoed before the answer.
    const taken = pending.subarray(0, end === -1 ? pending.length : end + (pending[end + 1] === LF ? 2 : 1));
    pending = pending.subarray(taken.length);
    if (echo) emit({ kind: 'echo', bytes: taken });
    for (const byte of taken) edit(byte);
    if (end === -1) return;
    const text = Buffer.from(line).toString('latin1');
    const tooLong = line.length >= MAX_LINE;
    line = [];
    // Characters before AT are ignored (V.250, 5.2.1).
    const start = text.search(/at/i);
    if (start === -1) return;
    if (tooLong) emit({ kind: 'result', bytes: framed('ERROR') });
    else runLine(text.slice(start + 2));
  }

  function edit(byte: number): void {
    if (byte === BACKSPACE) line.pop();
    else if (byte !== CR && byte !== LF && byte !== 0 && line.length < MAX_LINE) line.push(byte);
  }

  function runLine(text: string): void {
    const commands = text.trim() === '' ? [] : parseCommands(text);
    const finish = (result: Buffer) => {
      running = false;
      emit({ kind: 'result', bytes: result });
      options.onResult(`AT${text}`, result.toString('latin1').trim());
      drain();
    };
    const next = (index: number): void => {
      const command = commands?.[index];
      const isLast = index + 1 === commands?.length;
      if (command === undefined) finish(framed('OK'));
      else
        runCommand(
          command,
          answerTo((bytes, ok) => (ok && !isLast ? next(index + 1) : finish(bytes))),
        );
    };
    running = true;
    if (commands === undefined) options.unknown(answerTo(finish));
    else next(0);
  }

  function runCommand(command: AtCommand, answer: AtAnswer): void {
    const code = options.refuse(`AT${command.text}`);
    const handler = options.handler(command.name);
    if (code !== undefined) answer.cme(code);
    else if (handler === undefined) options.unknown(answer);
    else handler(command, answer);
  }

  function answerTo(end: (bytes: Buffer, ok: boolean) => void): AtAnswer {
    return {
      line: (text) => emit({ kind: 'line', bytes: framed(text) }),
      data: (header, payload, ending) =>
        emit({ kind: 'data', bytes: Buffer.concat([latin1(header), payload, latin1(ending)]) }),
      ok: () => end(framed('OK'), true),
      error: () => end(framed('ERROR'), false),
      cme: (code) => end(framed(options.formatCme(code)), false),
      result: end,
      collect,
      later(ms, task, input) {
        ignoresInput = input === 'ignore-input';
        clock.after(ms, () => {
          ignoresInput = false;
          task();
        });
      },
    };
  }

  function collect(dataInput: DataInput) {
    const stop =
      dataInput.timeoutMs === undefined
        ? () => undefined
        : clock.after(dataInput.timeoutMs, () => collected(undefined));
    collecting = { input: dataInput, bytes: [], since: clock.now(), stop };
    emit({ kind: 'prompt', bytes: latin1(dataInput.prompt) });
  }

  function takeData(): void {
    if (collecting === undefined) return;
    const { input: expected, bytes, since } = collecting;
    const ends = pending.findIndex((byte) => byte === CTRL_Z || byte === ESC);
    const open = expected.length === undefined;
    const count = open ? (ends === -1 ? pending.length : ends + 1) : expected.length - bytes.length;
    const taken = pending.subarray(0, count);
    pending = pending.subarray(taken.length);
    if (expected.ignoreMs !== undefined && clock.now() - since < expected.ignoreMs) return;
    if (expected.echo) emit({ kind: 'echo', bytes: taken });
    bytes.push(...taken);
    if (open ? ends !== -1 : bytes.length === expected.length) {
      const last = bytes.at(-1);
      collected(open && last === ESC ? undefined : Buffer.from(open ? bytes.slice(0, -1) : bytes));
    }
  }

  function collected(bytes: Buffer | undefined): void {
    const finished = collecting;
    collecting = undefined;
    finished?.stop();
    finished?.input.done(bytes);
    drain();
  }

  return {
    input,
    get echo() {
      return echo;
    },
    setEcho(on) {
      echo = on;
    },
  };
}
