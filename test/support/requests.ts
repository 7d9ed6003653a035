import * as z from 'zod';
import type { Loopback } from '../../loopback/index.js';
import { OUTCOMES } from '../../shared/outcome.js';
import { buildProgram, builtProgram } from './built-program.js';
import { type Running, startProcess } from './process.js';

/** Builds the program of {@link startRequests}; gives what removes it. */
export const buildRequests = (): Promise<() => void> => buildProgram('request');

/**
 * Makes requests in a process of its own, one after the other: see request-program.ts.
 *
 * @param env its variables, besides those that lead to the API
 */
export function startRequests(loopback: Loopback, env: NodeJS.ProcessEnv): Running {
  return startProcess(process.execPath, [builtProgram('request')], {
    PATH: process.env['PATH'],
    API_URL: loopback.url,
    ACCOUNT_SID: loopback.accountSid,
    AUTH_TOKEN: loopback.authToken,
    ...env,
  });
}

const answerSchema = z.object({
  sim: z.string(),
  outcome: z.enum(OUTCOMES),
  result: z.unknown().optional(),
  authentic: z.boolean(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  attempts: z.number(),
  apiCalls: z.number(),
});

/** The result of a request, as it was printed. */
export type Answer = z.output<typeof answerSchema>;

/** The results that a process printed. */
export const answersIn = (output: string): Answer[] =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => answerSchema.parse(JSON.parse(line)));
