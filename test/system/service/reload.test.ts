import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, installAgent, openGateway, property, sendAll, startAgent } from '../../support/box-agent.js';
import { needs } from '../../support/needs.js';
import { BOX_TIMEOUT_MS, bootBox, type SystemdBox } from '../../support/systemd-box.js';

const AGENT = 'supersim-agent';
const CONFIG = '/etc/supersim-agent/config.yaml';
const MODULE = '/etc/supersim-agent/greet.mjs';
const BATCH = 100;

/** A configuration whose handler answers as the test says. */
const config = (answer: string, more = {}) => ({
  handlers: { program: { program: ['/bin/echo', answer], safe: true } },
  modules: [MODULE],
  ...more,
});

const module = (answer: string) =>
  `export const greet = { name: 'greet', description: 'Greets', safe: true, run: () => '${answer}' };`;

describe.skipIf(needs('root', 'unshare', 'mmdebstrap'))('a reload under systemd', { timeout: 60_000 }, () => {
  let box: SystemdBox;
  beforeAll(async () => {
    box = await bootBox();
    box.write(MODULE, module('one'));
    await installAgent(box, config('one'));
    await startAgent(box);
  }, BOX_TIMEOUT_MS);
  afterAll(() => box.stop());

  const write = (content: object) => box.write(CONFIG, JSON.stringify(content));
  const reload = () => box.run(['systemctl', 'reload', AGENT]);
  const answers = async () => [...(await ask(box, '#1 program')), ...(await ask(box, '#2 greet'))];
  const alive = async () => [await property(box, 'MainPID'), await property(box, 'ActiveState')];

  it('applies the changed configuration, and loses no datagram', async () => {
    const [pid] = await alive();
    const gateway = await openGateway(box);
    let commands = 0;
    const sendBatch = () =>
      sendAll(
        box,
        Array.from({ length: BATCH }, () => `#${commands++} greet`),
      );
    let reloaded = false;
    const sent = (async () => {
      while (!reloaded) await sendBatch();
      await sendBatch();
    })();
    await gateway.reply(/^#0 /);
    box.write(MODULE, module('two'));
    write(config('two'));
    expect(await reload()).toMatchObject({ code: 0 });
    reloaded = true;
    await sent;
    await gateway.reply(new RegExp(`^#${commands - 1} ok two$`));
    await expect.poll(() => gateway.replies().length).toBe(commands);
    const told = gateway.replies().map((reply) => reply.replace(/^#\d+ /, ''));
    expect(new Set(told)).toEqual(new Set(['ok one', 'ok two']));
    expect(await alive()).toEqual([pid, 'active']);
  });

  it('keeps the previous configuration when the file is invalid, and names the invalid line', async () => {
    const before = await alive();
    write(config('three', { limits: { running: 'lots' } }));
    expect((await reload()).code).not.toBe(0);
    expect(await answers()).toEqual(['#1 ok two', '#2 ok two']);
    expect(await alive()).toEqual(before);
    const said = (await box.journal(AGENT)).filter((line) => line.includes('limits.running'));
    // Written by the agent and by `supersim-agent reload`, in either order.
    expect(said.toSorted()).toEqual([
      expect.stringMatching(/^error config-invalid: /),
      expect.stringMatching(/^{.*"code":"config-invalid".*"configuration not reloaded"/),
    ]);
  });

  it('is also done on SIGHUP', async () => {
    write(config('four'));
    await box.done(['systemctl', 'kill', '--kill-whom=main', '--signal=HUP', AGENT]);
    await expect.poll(answers).toEqual(['#1 ok four', '#2 ok two']);
  });
});
