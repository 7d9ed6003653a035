import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../agent/base/moment.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import { openTestDatabase } from '../../agent/command/journal/support.js';
import { type CallFormat, createCall } from '../../support/caller.js';
import { kill, linesOf, prepareDevice } from '../../support/device.js';
import { temporaryFolder, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { openPeer } from '../../support/udp.js';

const FORMATS = ['json', 'coap'] as const;
const BOOTS = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'] as const;

/** A device whose programs for both commands leave a line, and then do as they are told in a shell's words. */
async function prepare(then: string) {
  const folder = temporaryFolder();
  const lines = join(folder, 'lines');
  const script = [writeScript(`echo "$1" >> ${lines}\n${then}`, folder)] as const;
  const device = await prepareDevice({
    security: { unprotected: 'allow' },
    device: { reboot: [...script, 'reboot'], restart: [...script, 'restart'] },
  });
  return { device, programRuns: () => linesOf(lines) };
}

/** An error of JSON-RPC with a code of ours. */
const inData = (code: string) => expect.objectContaining({ data: { code } });

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Gives the command, and waits until its program has run and its caller was told that the reply comes later. */
async function give({ device, programRuns }: Prepared, format: CallFormat, name: string) {
  const call = createCall(await openPeer(), device.endpoint, format, name);
  await call.send();
  await expect.poll(programRuns).toHaveLength(1);
  await device.answers();
  expect(await call.endsSoFar()).toEqual([]);
  expect(call.accepted).toBe(1);
  return call;
}

/** The states on the disk, as the agent left them. */
async function statesIn(folder: string): Promise<string[]> {
  const database = await openTestDatabase(folder);
  const entries = await createJournal(database, systemClock()).list({ limit: 10 });
  await database.close();
  return entries.map(({ state }) => state);
}

/** What the caller is told after the start, unasked and when it asks again; nothing more, and nothing runs again. */
async function expectEnd(
  { device, programRuns }: Prepared,
  call: ReturnType<typeof createCall>,
  format: CallFormat,
  end: string,
): Promise<void> {
  expect((await call.end()).summary).toBe(end);
  expect((await call.repeat()).summary).toBe(format === 'coap' ? end : `repeat ${end}`);
  await device.answers();
  expect(await call.endsSoFar()).toEqual([]);
  expect(programRuns()).toHaveLength(1);
}

it('agent.restart does not answer for other commands of its datagram, which may not have run', async () => {
  const device = await prepareDevice({ security: { unprotected: 'allow' }, limits: { running: 1 } });
  const agent = await device.start();
  const peer = await openPeer();
  const batch = [
    { method: 'agent.restart', id: 1 },
    { method: 'act.once', params: { number: 1 }, id: 2 },
  ];
  const interrupted = batch.map(({ id }) => expect.objectContaining({ id, error: inData('interrupted') }));
  expect(JSON.parse((await peer.ask(JSON.stringify(batch), device.endpoint)).toString())).toMatchObject(
    batch.map(({ id }) => ({ id, error: inData('running') })),
  );
  expect(await agent.ended).toBe(0);
  await device.start();
  expect(JSON.parse((await peer.next()).bytes.toString())).toEqual(interrupted);
  expect(device.runs().size).toBe(0);
});

describe.each(FORMATS)('in %s', (format) => {
  it('device.reboot is not done when only the agent was restarted', async () => {
    const prepared = await prepare('');
    const agent = await prepared.device.start();
    const call = await give(prepared, format, 'device.reboot');
    await kill(agent);
    await prepared.device.start();
    await expectEnd(prepared, call, format, 'interrupted');
    expect(await prepared.device.shown('device.reboot')).toMatchObject({ state: 'interrupted', runs: 1 });
  });

  it('agent.restart is done when the agent runs again', async () => {
    const prepared = await prepare('');
    const agent = await prepared.device.start();
    const call = await give(prepared, format, 'agent.restart');
    expect(prepared.programRuns()).toEqual(['restart']);
    await kill(agent);
    await prepared.device.start();
    await expectEnd(prepared, call, format, 'done');
    expect(await prepared.device.shown('agent.restart')).toMatchObject({ state: 'done', outcome: 'done', runs: 1 });
  });

  it('agent.restart without a program stops the agent gracefully, and is done when it runs again', async () => {
    const device = await prepareDevice({ security: { unprotected: 'allow' } });
    const agent = await device.start();
    const call = createCall(await openPeer(), device.endpoint, format, 'agent.restart');
    await call.send();
    expect(await agent.ended).toBe(0);
    expect(await call.endsSoFar()).toEqual([]);
    expect(call.accepted).toBe(1);
    expect(await statesIn(device.folder)).toEqual(['started']);
    await device.start();
    await expectEnd({ device, programRuns: () => ['none'] }, call, format, 'done');
  });

  it('a repeat during the restart is answered that it is running, and runs nothing', async () => {
    const prepared = await prepare('');
    await prepared.device.start();
    const call = await give(prepared, format, 'device.reboot');
    await call.send();
    await prepared.device.answers();
    expect(await call.endsSoFar()).toEqual([]);
    expect(call.accepted).toBe(2);
    expect(prepared.programRuns()).toEqual(['reboot']);
  });

  it.each(['device.reboot', 'agent.restart'])('%s fails when its program fails', async (name) => {
    const prepared = await prepare('echo "no permission" >&2; exit 1');
    const agent = await prepared.device.start();
    const call = createCall(await openPeer(), prepared.device.endpoint, format, name);
    const { summary, ending } = await call.repeat();
    expect({ summary, accepted: call.accepted }).toEqual({ summary: 'handler-failed', accepted: 1 });
    expect(ending).toMatchObject({ error: { message: expect.stringContaining('no permission') } });
    await kill(agent);
    await prepared.device.start();
    expect((await call.repeat()).ending).toEqual(ending);
    expect(await prepared.device.shown(name)).toMatchObject({ state: 'done', outcome: 'failed', runs: 1 });
    expect(prepared.programRuns()).toHaveLength(1);
  });

  it('stopping the agent does not change the outcome of a reboot in progress', async () => {
    const prepared = await prepare('exec sleep 30');
    const agent = await prepared.device.start();
    const call = await give(prepared, format, 'device.reboot');
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
    expect(await call.endsSoFar()).toEqual([]);
    expect(await statesIn(prepared.device.folder)).toEqual(['started']);
  });

  describe.skipIf(needs('root', 'unshare'))('when the kernel’s boot id tells', () => {
    it.each([
      ['SIGTERM', 0],
      ['SIGKILL', 'SIGKILL'],
    ] as const)('of another boot, device.reboot is done: the agent ended with %s', async (signal, how) => {
      const prepared = await prepare('');
      const agent = await prepared.device.start({ bootId: BOOTS[0] });
      const call = await give(prepared, format, 'device.reboot');
      agent.kill(signal);
      expect(await agent.ended).toBe(how);
      await prepared.device.start({ bootId: BOOTS[1] });
      await expectEnd(prepared, call, format, 'done');
      expect(await prepared.device.shown('device.reboot')).toMatchObject({ state: 'done', outcome: 'done', runs: 1 });
    });

    it('of the same boot, it is not', async () => {
      const prepared = await prepare('');
      const agent = await prepared.device.start({ bootId: BOOTS[0] });
      const call = await give(prepared, format, 'device.reboot');
      await kill(agent);
      await prepared.device.start({ bootId: BOOTS[0] });
      await expectEnd(prepared, call, format, 'interrupted');
    });
  });
});
