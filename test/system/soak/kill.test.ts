import { describe, expect, it } from 'vitest';
import { CALL_FORMATS, type Call, type CallFormat, createCall } from '../../support/caller.js';
import { type Device, kill, prepareDevice } from '../../support/device.js';
import type { Running } from '../../support/process.js';
import { openPeer } from '../../support/udp.js';

/** How many commands run at once. */
const PLACES = 4;

interface Scene {
  readonly device: Device;
  readonly agent: Running;
  /** The name of the handler that is called. */
  readonly name: string;
  readonly call: Call;
  /** Another caller's command. */
  readonly other: (name: string) => () => Promise<void>;
}

/** Held, with that on the disk: where it does no harm to run again, a second after it began. */
async function started({ device, name, call }: Scene): Promise<void> {
  await call.send();
  await device.journalled(name, 'started');
}

async function hadEffect(scene: Scene): Promise<void> {
  await started(scene);
  await scene.device.operate('open effect');
  await expect.poll(() => scene.device.runs().size).toBe(1);
}

/** How an agent whose handlers are held is brought to each step, and killed there. */
const STEPS = {
  'not accepted on the disk': ({ device, agent, call, other }) => device.together(agent, [call.send, other('die')]),
  'accepted, waiting for a place': async ({ device, agent, call, other }) => {
    for (let place = 0; place < PLACES; place++) await other('block')();
    await call.send();
    await device.waiting(1);
    await kill(agent);
  },
  'started, before its effect': async (scene) => {
    await started(scene);
    await kill(scene.agent);
  },
  'started, after its effect': async (scene) => {
    await hadEffect(scene);
    await kill(scene.agent);
  },
  // Its end would be committed behind all that comes in one turn of the event loop.
  'ended, but not on the disk': async (scene) => {
    await hadEffect(scene);
    await scene.device.together(scene.agent, [scene.other('open end'), scene.other('die')]);
  },
  // Its end is in one commit with the start of a command that kills, and that one is told of the commit before it.
  'ended on the disk, before the reply left': async (scene) => {
    await hadEffect(scene);
    await scene.device.together(scene.agent, [scene.other('die.once'), scene.other('open end')]);
  },
  'ended, and the reply has come': async (scene) => {
    await hadEffect(scene);
    await scene.device.operate('open end');
    expect((await scene.call.end()).summary).toBe('done');
    await kill(scene.agent);
  },
} as const satisfies Record<string, (scene: Scene) => Promise<unknown>>;

type Step = keyof typeof STEPS;

type Row = readonly [
  Step,
  name: 'act.once' | 'act.again',
  readonly CallFormat[],
  /** How often the handler has run in all when the agent is up again. */
  restarted: number,
  /** What the caller is told unasked. */
  told: string | undefined,
  /** What a repeat of the datagram is answered. */
  repeat: string,
  /** How often the handler has run then. */
  repeated: number,
  /** State and runs in `supersim-agent commands show`; undefined where the journal has no such command. */
  shown: readonly [state: string, runs: number] | undefined,
];

const BOTH = ['json', 'coap'] as const;
const NOTHING = undefined;

/**
 * Of a command that may run twice the journal has nothing in its first second, and when its datagram comes again it
 * just runs. CoAP knows the datagram all the same while its agent lives.
 */
const TABLE: readonly Row[] = [
  ['not accepted on the disk', 'act.once', BOTH, 0, NOTHING, 'done', 1, ['done', 1]],
  ['accepted, waiting for a place', 'act.once', BOTH, 1, 'done', 'repeat done', 1, ['done', 1]],
  ['started, before its effect', 'act.once', BOTH, 0, 'interrupted', 'repeat interrupted', 0, ['interrupted', 1]],
  ['started, after its effect', 'act.once', BOTH, 1, 'interrupted', 'repeat interrupted', 1, ['interrupted', 1]],
  ['ended, but not on the disk', 'act.once', BOTH, 1, 'interrupted', 'repeat interrupted', 1, ['interrupted', 1]],
  ['ended on the disk, before the reply left', 'act.once', BOTH, 1, NOTHING, 'repeat done', 1, ['done', 1]],
  ['ended, and the reply has come', 'act.once', BOTH, 1, NOTHING, 'repeat done', 1, ['done', 1]],

  ['not accepted on the disk', 'act.again', BOTH, 0, NOTHING, 'done', 1, NOTHING],
  ['accepted, waiting for a place', 'act.again', BOTH, 0, NOTHING, 'done', 1, NOTHING],
  ['started, before its effect', 'act.again', ['json'], 1, 'done', 'done', 2, ['done', 2]],
  ['started, before its effect', 'act.again', ['coap'], 1, 'done', 'done', 1, ['done', 2]],
  ['started, after its effect', 'act.again', ['json'], 2, 'done', 'done', 3, ['done', 2]],
  ['started, after its effect', 'act.again', ['coap'], 2, 'done', 'done', 2, ['done', 2]],
  ['ended, but not on the disk', 'act.again', ['json'], 2, 'done', 'done', 3, ['done', 2]],
  ['ended, but not on the disk', 'act.again', ['coap'], 2, 'done', 'done', 2, ['done', 2]],
  ['ended on the disk, before the reply left', 'act.again', BOTH, 1, NOTHING, 'done', 2, ['done', 1]],
  ['ended, and the reply has come', 'act.again', BOTH, 1, NOTHING, 'done', 2, ['done', 1]],
];

const CASES = TABLE.flatMap(([step, name, formats, ...found]) =>
  formats.map((format) => [step, name, format, ...found] as const),
);

/** A caller with a command for a device, and its agent, which holds its handlers. */
async function startScene(name: string, format: CallFormat) {
  const device = await prepareDevice({ limits: { running: PLACES } });
  const agent = await device.start({ held: true });
  const bystander = await openPeer();
  // The first commands of a process take long, and what comes with them would wait.
  for (const first of [format, 'text'] as const) await createCall(bystander, device.endpoint, first, 'ping').repeat();
  const call = createCall(await openPeer(), device.endpoint, format, name, { number: 1 });
  // Each from an address of its own: the last quarter of the places is not given to one that has many.
  const other = (command: string) => async () => (await openPeer()).send(`#other ${command}`, device.endpoint);
  return { device, agent, name, call, other, runs: () => device.runs().get('1') ?? 0 };
}

describe('kill -9 of the agent while a command is', () => {
  // What is not to be accepted may all the same reach the disk before the agent comes to the datagram that ends it.
  it.each(CASES)('%s: %s in %s', { retry: 2 }, async (step, name, format, restarted, told, repeat, repeated, shown) => {
    const scene = await startScene(name, format);
    const { device, agent, call, runs } = scene;
    await STEPS[step](scene);
    expect(await agent.ended).toBe('SIGKILL');
    expect(await call.endsSoFar()).toEqual([]);

    await device.start();
    if (told !== undefined) expect((await call.end()).summary).toBe(told);
    await device.answers();
    expect(await call.endsSoFar()).toEqual([]);
    expect(runs()).toBe(restarted);

    // CoAP has no word that says that the command had come before.
    expect((await call.repeat()).summary).toBe(format === 'coap' ? repeat.replace('repeat ', '') : repeat);
    await device.answers();
    expect(await call.endsSoFar()).toEqual([]);
    expect(runs()).toBe(repeated);
    const found = await device.shown(name);
    expect(found && [found.state, found.runs]).toEqual(shown);
  });

  it.each(CALL_FORMATS)('ended answers repeats with the same reply: %s', async (format) => {
    const device = await prepareDevice();
    const agent = await device.start();
    const call = createCall(await openPeer(), device.endpoint, format, 'act.once', { number: 1 });
    const first = await call.repeat();
    expect(first.ending).toEqual({ outcome: 'done', result: 'ran 1' });
    await kill(agent);
    await device.start();
    for (let times = 0; times < 3; times++) {
      const repeat = await call.repeat();
      expect(repeat.ending).toEqual(first.ending);
      if (format === 'coap') expect(repeat.bytes).toEqual(first.bytes);
      else expect(repeat.summary).toBe('repeat done');
    }
    expect(device.runs()).toEqual(new Map([['1', 1]]));
  });

  it('an idempotent command that kills the agent each time runs twice, and is interrupted then', async () => {
    const { device, agent, call, runs } = await startScene('crash', 'json');
    await call.send();
    await device.journalled('crash', 'started');
    await device.operate('open end');
    expect(await agent.ended).toBe('SIGKILL');
    expect(await device.launch().ended).toBe('SIGKILL');
    expect(runs()).toBe(2);

    await device.start();
    expect((await call.end()).summary).toBe('interrupted');
    await device.answers();
    expect(await call.endsSoFar()).toEqual([]);
    expect(runs()).toBe(2);
    expect(await device.shown('crash')).toMatchObject({ state: 'interrupted', runs: 2, code: 'interrupted' });
  });

  it('a command that kills the agent and must not run twice is not run again', async () => {
    const { device, agent, call } = await startScene('die.once', 'json');
    await call.send();
    expect(await agent.ended).toBe('SIGKILL');
    await device.start();
    expect((await call.end()).summary).toBe('interrupted');
    expect((await call.repeat()).summary).toBe('repeat interrupted');
    expect(await device.shown('die.once')).toMatchObject({ state: 'interrupted', runs: 1 });
  });
});
