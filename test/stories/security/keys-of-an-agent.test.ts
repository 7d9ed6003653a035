import { chmodSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createManagedAgent } from '../../../agent/agent.js';
import { resolveConfig } from '../../../agent/config/load.js';
import type { ConfigInput } from '../../../agent/config/schema.js';
import { WINDOW_FILE } from '../../../agent/security/window-file.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { findOption, findUint, OPTION, stringOptions } from '../../../shared/coap/options.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { recordingLog } from '../../support/log.js';
import { KEY, openRequest } from '../../support/oscore.js';
import { keyFileText, startOperator } from '../../support/security.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const PORT = 6969;

/** A device with folders of its own, whose agent can be started several times. */
async function makeDevice(security: ConfigInput['security'] = {}) {
  const folder = temporaryFolder();
  const [keys, state] = [join(folder, 'keys'), join(folder, 'state')];
  mkdirSync(keys, { mode: 0o750 });
  const address = randomAddress();
  const gateway = await openPeer();
  const input = (more: ConfigInput = {}): ConfigInput => ({
    listen: { address, receiveBufferBytes: 65_536 },
    allow: ['127.0.0.0/8'],
    gateway: { ...gateway.endpoint },
    state: { folder: state },
    security,
    ...more,
  });
  const { log, lines } = recordingLog();
  return {
    keys,
    state,
    gateway,
    input,
    lines,
    endpoint: { address, port: PORT },
    addKey: (name: string, kid: number) => writeFile(keys, `${name}.json`, keyFileText({ kid }), 0o640),
    async start(more: ConfigInput = {}) {
      const agent = createManagedAgent(resolveConfig(input(more)), {
        trustsClock: true,
        keys: { defaultFolder: keys },
        log,
      });
      onTestFinished(() => agent.stop());
      await agent.start();
      return agent;
    },
  };
}

type Device = Awaited<ReturnType<typeof makeDevice>>;

/** Asks for a ping as an operator does: follows the challenge, if there is one. */
async function ask({ endpoint }: Device, operator: ReturnType<typeof startOperator>) {
  const peer = await openPeer();
  const first = operator.protect({ method: '0.01', path: 'ping' });
  const answer = first.open(await peer.ask(first.bytes, endpoint));
  const echo = findOption(answer.options, OPTION.echo);
  if (echo === undefined) return { challenged: false, code: answer.code };
  const again = operator.protect({ method: '0.01', path: 'ping', options: [{ number: OPTION.echo, value: echo }] });
  return { challenged: true, code: again.open(await peer.ask(again.bytes, endpoint)).code };
}

describe('the keys of an agent', () => {
  it('are read at the start, and shown without their secrets', async () => {
    const device = await makeDevice();
    device.addKey('ops', 1);
    const agent = await device.start();
    expect(await ask(device, startOperator())).toEqual({ challenged: true, code: '2.05' });
    const { security } = agent.status();
    expect(security).toMatchObject({ required: true, numbers: 'ready', problems: [] });
    expect(security?.keys).toEqual([
      { name: 'ops', kid: 1, device: KEY.deviceId, allow: undefined, windowKnown: true },
    ]);
    const secret = KEY.masterSecret.toString('hex');
    expect(JSON.stringify([agent.status(), agent.config, device.lines])).not.toContain(secret);
  });

  it('are read again by a reload: a new one counts at once, and one that is gone does not any more', async () => {
    const device = await makeDevice();
    const agent = await device.start();
    expect(agent.status().security).toMatchObject({ required: false, numbers: undefined });
    const first = device.addKey('ops', 1);
    expect(await agent.reload(device.input())).toMatchObject({ changed: ['security.keys'] });
    expect(await agent.reload(device.input())).toMatchObject({ changed: [] });
    expect(await ask(device, startOperator())).toEqual({ challenged: true, code: '2.05' });
    device.addKey('new', 2);
    rmSync(first);
    await agent.reload(device.input());
    expect(await ask(device, startOperator({ kid: 2 }))).toEqual({ challenged: true, code: '2.05' });
    const old = startOperator().protect({ method: '0.01', path: 'ping' });
    const peer = await openPeer();
    expect(parseMessage(await peer.ask(old.bytes, device.endpoint))).toMatchObject({ code: '4.01' });
  });

  it('keep their windows over a reload, and over a clean stop', async () => {
    const device = await makeDevice();
    device.addKey('ops', 1);
    const agent = await device.start();
    const operator = startOperator();
    expect(await ask(device, operator)).toMatchObject({ challenged: true });
    await agent.reload(device.input());
    expect(await ask(device, operator)).toEqual({ challenged: false, code: '2.05' });
    await agent.stop();
    expect(existsSync(join(device.state, WINDOW_FILE))).toBe(true);
    await device.start();
    expect(await ask(device, operator)).toEqual({ challenged: false, code: '2.05' });
    expect(existsSync(join(device.state, WINDOW_FILE))).toBe(false);
  });

  it('that cannot be used keep the device closed, and a reload refuses them', async () => {
    const device = await makeDevice();
    chmodSync(device.addKey('ops', 1), 0o644);
    const agent = await device.start();
    expect(agent.status().security).toMatchObject({
      required: true,
      keys: [],
      problems: [expect.stringMatching(/ops/)],
    });
    const peer = await openPeer();
    expect(String(await peer.ask('#1 ping', device.endpoint))).toMatch(/^#1 error authentication-required /);
    await expect(agent.reload(device.input())).rejects.toMatchObject({ code: 'key-unsafe' });
    chmodSync(join(device.keys, 'ops.json'), 0o600);
    await agent.reload(device.input());
    expect(await ask(device, startOperator())).toEqual({ challenged: true, code: '2.05' });
  });

  it('need a state folder: without one the agent does not start', async () => {
    const device = await makeDevice();
    device.addKey('ops', 1);
    await expect(device.start({ state: { folder: 'none' } })).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('state.folder'),
    });
  });

  it('count from systemd’s credentials too', async () => {
    const device = await makeDevice();
    const credentials = temporaryFolder();
    writeFile(credentials, 'ops.json', keyFileText(), 0o400);
    const agent = createManagedAgent(resolveConfig(device.input()), { trustsClock: true, keys: { credentials } });
    onTestFinished(() => agent.stop());
    await agent.start();
    expect(await ask(device, startOperator())).toEqual({ challenged: true, code: '2.05' });
  });
});

describe('an event under a key', () => {
  it('is a protected message that only the operator can open', async () => {
    const device = await makeDevice();
    device.addKey('ops', 1);
    const agent = await device.start({ events: { key: 'ops' } });
    const { context } = startOperator();
    await agent.emit('door', { open: true });
    await agent.emit(Buffer.of(0, 255));
    const received = [await device.gateway.next(), await device.gateway.next()].map(({ bytes }) => bytes);
    expect(Buffer.concat(received).includes('door')).toBe(false);
    const events = received.map((bytes) => {
      const message = parseMessage(bytes);
      const opened = openRequest(context, message);
      if (!opened.ok) throw new Error(opened.reason);
      const { code, options, payload } = opened.message;
      expect({ type: message.type, code, path: stringOptions(options, OPTION.uriPath) }).toEqual({
        type: 'NON',
        code: '0.02',
        path: ['event'],
      });
      expect(findUint(options, OPTION.noResponse)).toBe(26);
      return [findUint(options, OPTION.contentFormat), payload];
    });
    expect(events).toEqual([
      [CONTENT_FORMAT.json, Buffer.from('{"event":"door","data":{"open":true}}')],
      [CONTENT_FORMAT.bytes, Buffer.of(0, 255)],
    ]);
    await expect(agent.emit(Buffer.alloc(1290))).rejects.toMatchObject({ code: 'too-large' });
  });

  it('needs a key that can be used', async () => {
    const device = await makeDevice();
    await expect(device.start({ events: { key: 'ops' } })).rejects.toMatchObject({ code: 'config-invalid' });
  });
});
