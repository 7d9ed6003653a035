import { join } from 'node:path';
import { encode as encodeCbor } from 'cborg';
import { describe, expect, test } from 'vitest';
import type { Loopback } from '../../loopback/index.js';
import { post } from '../loopback/support.js';
import { temporaryFolder } from '../support/files.js';
import { program, runProcess, startProcess } from '../support/process.js';
import { nextReply, nextReplyBytes, startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { LINKS } from '../support/story-links.js';

/** `supersim …`, with a loopback's credentials in its environment as a user would set them. */
function command({ url, accountSid, authToken }: Loopback, ...args: string[]): [string, string[], NodeJS.ProcessEnv] {
  const env = {
    ...process.env,
    SUPERSIM_API_URL: url,
    SUPERSIM_ACCOUNT_SID: accountSid,
    SUPERSIM_AUTH_TOKEN: authToken,
  };
  return [process.execPath, [program('supersim'), ...args], env];
}

const supersim = (loopback: Loopback, ...args: string[]) => runProcess(...command(loopback, ...args));

describe.each(LINKS)('by %s', (link) => {
  test('a command is sent, its reply is watched, listed and fetched', async () => {
    const loopback = await startTestLoopback({}, link);
    await startTestAgent(loopback);
    const watch = startProcess(...command(loopback, 'watch', '--interval', '1s', '--json'));
    await watch.line(/^watching/);
    const reply = nextReply(loopback);
    const sent = await supersim(loopback, 'send', '--sim', 'gateway-1', '--port', '6969', '--json', '#1 echo hello');
    expect(sent.code).toBe(0);
    expect(JSON.parse(sent.output)).toMatchObject({ direction: 'to_sim', status: 'queued', payload: '#1 echo hello' });
    const { sid } = await reply;

    const listed = await supersim(loopback, 'list', '--direction', 'from_sim', '--json');
    const lines = listed.output.split('\n').map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ sid, status: 'received', payload: Buffer.from('#1 ok hello').toString('base64') });
    const fetched = await supersim(loopback, 'fetch', sid, '--json');
    expect(JSON.parse(fetched.output)).toEqual(lines[0]);

    await watch.line(new RegExp(sid));
    watch.kill('SIGINT');
    expect(await watch.ended).toBe(0);
  });

  test('bytes are sent from Base64, and come back as they were', async () => {
    const loopback = await startTestLoopback({}, link);
    await startTestAgent(loopback);
    const payload = Buffer.from(encodeCbor({ method: 'ping', id: 5 })).toString('base64');
    const reply = nextReplyBytes(loopback);
    expect(await supersim(loopback, 'send', '--sim', 'gateway-1', '--binary', payload)).toMatchObject({ code: 0 });
    expect(await reply).toEqual(Buffer.from(encodeCbor({ jsonrpc: '2.0', id: 5, result: 'pong' })));
  });
});

test('an unknown SIM is refused by the API, and the exit code tells', async () => {
  const loopback = await startTestLoopback();
  const { code, output } = await supersim(loopback, 'send', '--sim', 'nobody', 'ping');
  expect(output).toMatch(/^error api-error: /);
  expect(code).toBe(3);
});

test('wrong arguments end with the help and code 2', async () => {
  const { code, output } = await runProcess(process.execPath, [program('supersim'), 'sned']);
  expect(output).toMatch(/Did you mean send\?|Unknown argument: sned/);
  expect(code).toBe(2);
});

test('a Fleet is asked, and what came of it is in a file that is not asked again', async () => {
  const loopback = await startTestLoopback();
  await startTestAgent(loopback);
  const state = join(temporaryFolder(), 'broadcast.db');
  const first = await supersim(
    loopback,
    'broadcast',
    'ping',
    '--fleet',
    'fleet-1',
    '--state',
    state,
    '--interval',
    '100ms',
  );
  expect(first.code).toBe(0);
  expect(first.output).toMatch(/^HS\w{32},done,,,,"""pong""",1,false$/m);
  const { toSim } = loopback.counters;
  expect(toSim).toBe(1);
  const again = await supersim(loopback, 'broadcast', '--resume', state, '--json');
  expect([again.code, loopback.counters.toSim]).toEqual([0, toSim]);
  expect(again.output).toContain('"outcome":"done"');
  const both = await supersim(loopback, 'broadcast', '--resume', state, '--format', 'json');
  expect(both.code).toBe(2);
});

test('webhooks are listened for until Ctrl-C', async () => {
  const loopback = await startTestLoopback();
  const agent = await startTestAgent(loopback);
  const [file, args, env] = command(loopback, 'listen', '--port', '0', '--json');
  const listening = startProcess(file, args, { ...env, SUPERSIM_WEBHOOK_SECRET: loopback.webhookSecret });
  const [, url = ''] = /^listening on (.*)$/.exec(await listening.line(/^listening on /)) ?? [];
  await listening.line(/^ready: /);
  await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: url });
  await agent.emit('started');
  expect(JSON.parse(await listening.line(/^{/))).toMatchObject({ kind: 'event', event: 'started' });
  listening.kill('SIGINT');
  expect(await listening.ended).toBe(0);
  const wrong = await supersim(loopback, 'listen', '--poll', '--port', '3000');
  expect(wrong.code).toBe(2);
});
