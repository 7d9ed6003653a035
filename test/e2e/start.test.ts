import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { needs } from '../support/needs.js';
import { program, runProcess, startProcess } from '../support/process.js';

/** One after the other: they all want the usual ports. */
describe.sequential('npm start', () => {
  test('with --once it shows the steps of a round trip and ends with 0', async () => {
    const { code, output } = await runProcess(process.execPath, [program('start'), '--once']);
    expect(output).toMatch(/ms {2}POST .*Payload="#probe ping"/);
    expect(output).toMatch(/ms {2}UDP {2}→ 127\.0\.0\.2:6969, HG[0-9a-f]{32} is sent/);
    expect(output).toMatch(/ms {2}UDP {2}← 127\.0\.0\.2:6969, 14 bytes, HG[0-9a-f]{32} is received/);
    expect(output).toMatch(/ms {2}GET .*from_sim "#probe ok pong"/);
    expect(code).toBe(0);
  });

  test('it stays up, its curl line can be pasted as it is, and Ctrl-C ends it with 0', async () => {
    const start = startProcess(process.execPath, [program('start')]);
    await start.line(/^ready$/);
    expect(start.output()).toMatch(/^Twilio {5}SUPERSIM_ACCOUNT_SID=\S+ SUPERSIM_AUTH_TOKEN=\S+$/m);
    const curl = (await start.line(/^ +curl /)).trim();
    const { code, output } = await runProcess('sh', ['-c', `${curl} --silent --show-error`]);
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      status: 'queued',
      direction: 'to_sim',
      payload: 'ping',
      device_ip: null,
    });
    await start.line(/← gateway-1:6969 received 7 bytes "ok pong"/);
    start.kill('SIGINT');
    expect(await start.ended).toBe(0);
  });

  test('when the agent cannot have its port it says so, and ends with another code', async () => {
    const taken = createSocket('udp4').bind(6969, '127.0.0.2');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    const { code, output } = await runProcess(process.execPath, [program('start'), '--once']);
    expect(output).toMatch(/error port-in-use: UDP 127\.0\.0\.2:6969/);
    expect(output).toMatch(/error probe-failed: the agent ended: exit code 1/);
    expect(code).toBe(1);
  });

  test('when the gateway’s port is taken it takes another and works all the same', async () => {
    const taken = createSocket('udp4').bind(6969, '127.0.0.1');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    const { code, output } = await runProcess(process.execPath, [program('start'), '--once']);
    expect(output).toMatch(/from_sim "#probe ok pong"/);
    expect(code).toBe(0);
  });

  test.skipIf(needs('node-pty'))(
    'with --modem it all goes by a virtual modem',
    async () => {
      const { code, output } = await runProcess(process.execPath, [program('start'), '--once', '--modem', 'quectel']);
      expect(output).toMatch(/^virtual modem quectel at \//m);
      expect(output).toMatch(/"transport":"modem"/);
      expect(output).toMatch(/from_sim "#probe ok pong"/);
      expect(code).toBe(0);
    },
    40_000,
  );
});
