import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { resolveConfig } from '../../../agent/config/load.js';
import type { ConfigInput, ProgramConfig, SocketConfig } from '../../../agent/config/schema.js';
import type { Handler, HandlerContext } from '../../../agent/handlers/handler.js';
import { programHandler } from '../../../agent/handlers/program.js';
import type { Command } from '../../../shared/command.js';

/** Makes a handler's context like the runner. */
export function contextFor(command: Partial<Command> = {}, signal = new AbortController().signal): HandlerContext {
  return {
    command: {
      name: 'tried',
      params: { positional: [], named: {} },
      format: 'text',
      peer: '127.0.0.1:1',
      ...command,
    },
    deviceId: 'box-1',
    log: silentLog,
    signal,
    emit: async () => undefined,
  };
}

type HandlerInput = NonNullable<ConfigInput['handlers']>[string];
type ProgramInput = Extract<HandlerInput, { program: string[] }>;
type SocketInput = Extract<HandlerInput, { socket: string }>;

/** Completes the configuration of a program handler with defaults. */
export function programConfig(input: ProgramInput): ProgramConfig {
  const config = resolveConfig({ handlers: { tried: input } }).handlers['tried'];
  if (config === undefined || !('program' in config)) throw new Error('the configuration lost its handler');
  return config;
}

/** Completes the configuration of a socket handler with defaults. */
export function socketConfig(input: SocketInput): SocketConfig {
  const config = resolveConfig({ handlers: { tried: input } }).handlers['tried'];
  if (config === undefined || !('socket' in config)) throw new Error('the configuration lost its handler');
  return config;
}

let mark = '';

/**
 * Marks the environment of each test's programs and their children, and fails a test that leaves one of them running.
 */
export function watchProcesses(): void {
  beforeEach(() => {
    mark = `MARK_OF_TEST=${crypto.randomUUID()}`;
  });
  afterEach(async () => {
    try {
      await expect.poll(markedProcesses, { message: 'processes left behind' }).toEqual([]);
    } finally {
      for (const pid of markedProcesses()) process.kill(pid, 'SIGKILL');
    }
  });
}

/** Returns the PIDs of processes with this test's mark. */
export function markedProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && environmentOf(name).split('\0').includes(mark))
    .map(Number);
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}

/** Makes a program handler whose processes carry the test's mark. */
export function markedProgram(program: string[], input: Omit<ProgramInput, 'program'> = {}): Promise<Handler> {
  const environment = [...(input.environment ?? ['PATH']), mark];
  return programHandler('tried', programConfig({ ...input, program, environment }));
}

/** Runs a program handler. */
export async function runProgram(
  program: string[],
  input: Omit<ProgramInput, 'program'> = {},
  params: unknown = {},
  context = contextFor(),
): Promise<unknown> {
  const handler = await markedProgram(program, input);
  return handler.run(params, context);
}
