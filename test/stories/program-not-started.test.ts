import { encode } from 'cborg';
import { describe, expect, it } from 'vitest';
import { defineHandler } from '../../agent/handlers/handler.js';
import { NotStartedError } from '../../agent/handlers/not-started.js';
import { SupersimError } from '../../shared/errors.js';
import { asAfterKill, onDisk, startWired } from '../agent/command/wired-support.js';
import { requestBytes, summary } from '../support/coap.js';
import { recordingLog } from '../support/log.js';

const systemError = (code: string) => Object.assign(new Error(code), { code });

/** A handler whose program is not started so often, for this reason, and then is. */
function handlerThat(reason: string, times = Number.POSITIVE_INFINITY, idempotent = false) {
  let calls = 0;
  const handler = defineHandler({
    name: 'act',
    description: '',
    idempotent,
    run: () => (++calls > times ? Promise.resolve('acted') : Promise.reject(new NotStartedError(systemError(reason)))),
  });
  return { handler, calls: () => calls };
}

describe.each([
  ['ENOENT', 'handler-unavailable', -32010],
  ['EMFILE', 'busy', -32002],
])('a command whose program is not started (%s)', (reason, code, jsonRpc) => {
  it('is refused, and so is its repeat, also after a restart, though the program could be started then', async () => {
    const { handler, calls } = handlerThat(reason, 1);
    const { reply, folder, counters, meters } = await startWired({ handlers: [handler] });
    expect(String(await reply('#1 act'))).toBe(`#1 error ${code} ${reason}`);
    expect(onDisk(folder)).toMatchObject([{ state: 'refused', outcome: 'refused', code }]);
    expect(String(await reply('#1 act'))).toBe(`#1 repeat error ${code} ${reason}`);
    const after = await startWired({ folder: asAfterKill(folder), handlers: [handler] });
    expect(String(await after.reply('#1 act'))).toBe(`#1 repeat error ${code} ${reason}`);
    expect(calls()).toBe(1);
    expect(String(await after.reply('#2 act'))).toBe('#2 ok acted');
    expect(counters).toMatchObject({ outcomes: { failed: 0, refused: 1 }, notStarted: { [code]: 1 } });
    // It has not run, so there is no time that it took.
    expect(meters.handlers.get('act')?.runs.counts.every((count) => count === 0)).toBe(true);
  });

  it('is refused in each format', async () => {
    const { reply } = await startWired({ handlers: [handlerThat(reason).handler] });
    const error = { code: jsonRpc, message: reason, data: { code } };
    expect(JSON.parse(String(await reply('{"id":1,"method":"act"}')))).toMatchObject({ error });
    expect(Buffer.from(await reply(encode({ id: 2, method: 'act' }))).toString('latin1')).toContain(code);
    expect(summary(await reply(requestBytes({ path: 'act' })))).toMatch(new RegExp(`^ACK 5.03 .*${code}: ${reason}$`));
  });
});

describe('a command that may run twice, and whose program is not started', () => {
  it('says for a shortage that a later copy may run, as it is not recorded', async () => {
    const { handler } = handlerThat('EMFILE', 1, true);
    const { reply } = await startWired({ handlers: [handler] });
    expect(String(await reply('#1 act'))).toBe('#1 unrecorded error busy EMFILE');
    expect(String(await reply('#1 act'))).toBe('#1 ok acted');
  });

  it('is refused for another reason as often as it comes', async () => {
    const { handler } = handlerThat('ENOENT', 2, true);
    const { reply } = await startWired({ handlers: [handler] });
    for (let times = 0; times < 2; times++) {
      expect(String(await reply('#1 act'))).toBe('#1 error handler-unavailable ENOENT');
    }
  });
});

describe('a handler that ran half-way', () => {
  it('has failed, even if it throws an error with the code of one that was not started', async () => {
    const run = () => Promise.reject(new SupersimError('handler-unavailable', 'half-way'));
    const { reply, counters } = await startWired({ handlers: [defineHandler({ name: 'act', description: '', run })] });
    expect(String(await reply('#1 act'))).toBe('#1 error handler-failed half-way');
    expect(counters).toMatchObject({ outcomes: { failed: 1 }, notStarted: { 'handler-unavailable': 0 } });
  });
});

describe('programs that are not started', () => {
  it('are logged once a minute', async () => {
    const recording = recordingLog();
    const { handler } = handlerThat('EMFILE');
    const { reply } = await startWired({ handlers: [handler], log: recording.log });
    for (let id = 0; id < 3; id++) await reply(`#${id} act`);
    expect(recording.withMessage('handler not started')).toMatchObject([
      { details: { cause: 'busy', handler: 'act', error: 'EMFILE' } },
    ]);
  });
});
