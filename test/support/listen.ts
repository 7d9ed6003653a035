import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { Loopback } from '../../loopback/index.js';
import { reportError } from '../../sender/cli/exit.js';
import { listen } from '../../sender/cli/listen.js';
import { Sink } from '../sender/support.js';

const ended = { timeout: 20_000 };

/** `supersim listen` in this process; it ends with the test. */
export function startListen(args: object, env: NodeJS.ProcessEnv) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const abort = new AbortController();
  const io = { env, stdin: Readable.from([]), stdout, stderr, sleep: (ms: number) => sleep(ms) };
  const code = listen({ port: 0, ...args }, io, abort.signal).catch((error: unknown) => reportError(error, stderr));
  onTestFinished(async () => {
    abort.abort();
    await code;
  });
  const lines = () => stdout.text.split('\n').slice(0, -1);
  return {
    stdout,
    stderr,
    code,
    lines,
    stop: () => abort.abort(),
    ready: () => expect.poll(() => stderr.text, ended).toMatch(/^ready: /m),
    /** Waits for so many lines; without them, the failure shows what was printed. */
    line: (number = 0) =>
      expect
        .poll(() => ({ lines: lines(), stderr: stderr.text }), ended)
        .toSatisfy((printed: { lines: string[] }) => printed.lines.length > number),
    url: () => /listening on (\S+)/.exec(stderr.text)?.[1] ?? '',
  };
}

/** What the loopback signs webhooks with, as variables. */
export const secrets = ({ webhookSecret }: Loopback) => ({ SUPERSIM_WEBHOOK_SECRET: webhookSecret });

/** The loopback's API and credentials, as variables. */
export const apiEnv = ({ url, clientId, clientSecret }: Loopback) => ({
  ...{ SUPERSIM_API_URL: url, SUPERSIM_CLIENT_ID: clientId, SUPERSIM_CLIENT_SECRET: clientSecret },
});
