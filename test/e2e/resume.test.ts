import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Loopback } from '../../loopback/index.js';
import type { JournalIdentity } from '../../shared/format/journal-identity.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import { type Device, makeJournalDevice } from '../sender/broadcast/support.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { program, runProcess, startProcess } from '../support/process.js';
import { startTestLoopback } from '../support/round-trip.js';

const DAY = 86_400;
const IDENTITY: JournalIdentity = { id: '0123456789ab', age: DAY };

/** Puts a device on the address of a loopback's SIM; it stops with the test. */
async function connect({ sims, gateway }: Loopback, device: Device): Promise<void> {
  const [sim] = sims;
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  socket.bind(DEVICE_PORT, sim?.address);
  await once(socket, 'listening');
  socket.on('message', (bytes) => {
    const reply = device(bytes, 'gateway-1');
    if (reply !== undefined) socket.send(reply, gateway.port, gateway.address);
  });
}

/** Runs a command whose answer is lost, kills the broadcast, and resumes it once `meanwhile` has happened. */
async function killAndResume(
  identity: JournalIdentity | undefined,
  meanwhile: (device: ReturnType<typeof makeJournalDevice>) => void,
) {
  const loopback = await startTestLoopback();
  const made = makeJournalDevice(identity);
  let mute = true;
  await connect(loopback, (bytes, sim) => {
    const reply = made.device(bytes, sim);
    return mute ? undefined : reply;
  });
  const folder = temporaryFolder();
  const state = join(folder, 'broadcast.db');
  const env = {
    ...process.env,
    SUPERSIM_API_URL: loopback.url,
    SUPERSIM_ACCOUNT_SID: loopback.accountSid,
    SUPERSIM_AUTH_TOKEN: loopback.authToken,
  };
  const args = (...given: string[]) => [program('supersim'), 'broadcast', '--interval', '100ms', ...given];
  const list = writeFile(folder, 'sims.csv', 'gateway-1\n');
  const first = startProcess(process.execPath, args('relay.set', '--file', list, '--state', state), env);
  await expect.poll(() => made.state.runs).toBe(1);
  first.kill('SIGKILL');
  await first.ended;
  meanwhile(made);
  mute = false;
  const { output } = await runProcess(process.execPath, args('--resume', state, '--json'), env);
  const line = output.split('\n').find((text) => text.startsWith('{')) ?? '{}';
  return { result: JSON.parse(line), runs: made.state.runs, sent: loopback.counters.toSim };
}

test('a resumed broadcast is answered from the journal that the device still has', async () => {
  const { result, runs, sent } = await killAndResume(IDENTITY, () => undefined);
  expect(result).toMatchObject({ sim: 'gateway-1', outcome: 'done', message: expect.stringContaining('done before') });
  expect([runs, sent]).toEqual([1, 3]);
});

test('a resumed broadcast does not run a command again on a device that has lost its journal', async () => {
  const { result, runs, sent } = await killAndResume(IDENTITY, ({ replaceJournal }) =>
    replaceJournal({ id: 'ba9876543210', age: 0 }),
  );
  expect(result).toMatchObject({ outcome: 'no-answer', message: expect.stringContaining('lost or replaced') });
  expect([runs, sent]).toEqual([1, 2]);
});

test('a resumed broadcast asks a device whose agent cannot tell which journal it has', async () => {
  const { result, runs, sent } = await killAndResume(undefined, () => undefined);
  expect([result.outcome, runs, sent]).toEqual(['done', 1, 3]);
});
