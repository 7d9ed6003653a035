import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { Loopback } from '../../../../loopback/index.js';
import { reportError } from '../../../../sender/cli/exit.js';
import type { CliIo } from '../../../../sender/cli/io.js';
import { fleetKeys } from '../../../../sender/security/keys/fleet-keys.js';
import { createKnownKeys } from '../../../../sender/security/keys/known-keys.js';
import { recordedSims } from '../../../../sender/security/keys/sims.js';
import { openKeyStore } from '../../../../sender/security/store/key-store.js';
import { temporaryFolder } from '../../../support/files.js';
import { startTestLoopback } from '../../../support/round-trip.js';
import { randomAddress } from '../../../support/udp.js';
import { Sink } from '../../support.js';

/** A command of `supersim keys`; a number that it resolves to is the exit code. */
export type Command = (argv: unknown, io: CliIo) => Promise<unknown>;

interface Run {
  readonly stdin?: string | undefined;
  readonly isTTY?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

/** Variables that name an API. */
type Api = Pick<Loopback, 'url' | 'accountSid' | 'authToken'>;

export const variablesOf = ({ url, accountSid, authToken }: Api) => ({
  SUPERSIM_API_URL: url,
  SUPERSIM_ACCOUNT_SID: accountSid,
  SUPERSIM_AUTH_TOKEN: authToken,
});

/** Where no API is needed. */
const NO_API: Api = { url: 'http://127.0.0.1:9', accountSid: 'AC1', authToken: 'secret' };

/** Starts a loopback with so many SIMs, `gateway-1` and on. */
export const startSims = (count: number): Promise<Loopback> =>
  startTestLoopback({
    sims: Array.from({ length: count }, (_, index) => ({ name: `gateway-${index + 1}`, address: randomAddress() })),
  });

/**
 * A file with keys that the commands use. What they print is looked through for its secrets when the test ends; only the
 * standard output of `keys device` may have them.
 */
export function setUpKeys(api: Api = NO_API) {
  const folder = temporaryFolder();
  const path = join(folder, 'test.keys');
  const variables = { SUPERSIM_KEYS: path, SUPERSIM_MACHINE_ID: 'test', ...variablesOf(api) };
  const printed: string[] = [];

  async function run(command: Command, argv: object = {}, { stdin, isTTY = false, env }: Run = {}) {
    const [stdout, stderr] = [new Sink({ isTTY }), new Sink({ isTTY })];
    const input =
      stdin === undefined ? Object.assign(new PassThrough(), { isTTY: true }) : Readable.from([Buffer.from(stdin)]);
    const io = { env: { ...variables, ...env }, stdin: input, stdout, stderr, sleep: (ms: number) => sleep(ms) };
    const result = await command(argv, io).catch((error: unknown) => reportError(error, stderr));
    printed.push(stderr.text, ...(stdout.text.startsWith('{"device"') ? [] : [stdout.text]));
    return { code: typeof result === 'number' ? result : 0, stdout: stdout.text, stderr: stderr.text };
  }

  /** What the file has. */
  function read() {
    const store = openKeyStore(path);
    if (store === undefined) return { fleet: [], keys: [] };
    const known = createKnownKeys(store);
    const found = {
      fleet: fleetKeys(store),
      keys: recordedSims(store).flatMap(({ sid }) => known.ofSim({ sid })),
    };
    store.close();
    return found;
  }

  onTestFinished(() => {
    const { fleet, keys } = read();
    const secrets = [...fleet.map(({ secret }) => secret), ...keys.map(({ masterSecret }) => masterSecret)];
    for (const secret of secrets) {
      if (secret !== undefined) expectHidden(secret, printed.join('\n'));
    }
  });

  return { folder, path, variables, printed, run, read };
}

/** Nothing of a secret may be seen, in whatever form. */
export function expectHidden(secret: Buffer, text: string): void {
  for (const form of [secret.toString('hex'), secret.toString('base64'), secret.toString('latin1')]) {
    expect(text.toLowerCase().includes(form.toLowerCase()), 'a secret was printed').toBe(false);
  }
}
