import { setTimeout as rest } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Running } from '../../support/process.js';
import type { SeededRandom } from '../../support/seed.js';
import { drawEndings, type Ending } from './endings.js';
import { KIDS, prepareGuardedDevice } from './guarded-device.js';
import { type CountedCommand, openAttacker, openCaller, type SentRequest } from './old-requests.js';
import { createRunLedger } from './run-ledger.js';

/** The newest requests are sent again in each life, with some of the older ones. */
const NEWEST = 20;
const OLDER = 10;
/** An agent that can answer does so at once, but on a busy machine. */
const WAIT_MS = 10_000;
const DOUBT_MS = 300;
/** Less than the time that it would wait for numbers, at most. */
const SILENCE_MS = 8000;
/** A start takes about as long. */
const START_MS = 500;
const IN_FLIGHT = 6;
const IN_FLIGHT_MS = 40;
const HANDLER_MS = [0, 0, 0, 5, 20] as const;
const HANDLERS = ['look', 'set', 'act', 'act'] as const;

/** What can be heard of an agent: without numbers and clock nothing that is protected. */
type Voice = 'speaks' | 'may speak' | 'is silent';

/** How an agent begins its life. */
interface Beginning {
  readonly isSynchronized: boolean;
  readonly voice: Voice;
}

/** An agent in one of its lives. */
interface Life {
  readonly agent: Running;
  readonly voice: Voice;
  /** What distinguishes it, for who reads that it fails. */
  readonly what: string;
}

/**
 * Lets an agent live many lives on one state folder, to which something happens in each: checks that it never uses a
 * nonce twice, and that no command runs twice but those that are excused.
 *
 * @returns what has happened
 */
export async function liveDamaged(rounds: number, random: SeededRandom, name: string) {
  const device = prepareGuardedDevice();
  const sent: SentRequest[] = [];
  const callers = await Promise.all(KIDS.map((kid) => openCaller(device.endpoint, kid, sent)));
  const attacker = await openAttacker(device.endpoint, random);
  const { next: nextEnding, copies } = drawEndings(device.state, random);
  const ledger = createRunLedger(sent);
  const nonces = new Set<string>();
  const tally = new Map<string, number>();

  const count = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1);
  const chance = (oneIn: number) => random.integer(oneIn) === 0;
  const command = (): CountedCommand => ({ handler: random.pick(HANDLERS), ms: random.pick(HANDLER_MS) });
  const copyNow = (to: keyof typeof copies) => copies[to].add(sent.length, ledger.excused);

  function someOld(): SentRequest[] {
    const older = sent.slice(0, -NEWEST);
    const picked = Array.from({ length: OLDER }, () => older[random.integer(older.length)]);
    return [...picked.filter((request) => request !== undefined), ...sent.slice(-NEWEST)];
  }

  async function exchange({ agent, voice, what }: Life): Promise<void> {
    for (const caller of callers) {
      const one = command();
      const code = await caller.exchange(one, voice === 'speaks' ? WAIT_MS : DOUBT_MS);
      count(`${one.handler} answered with ${code}`);
      // A journal that was damaged cannot say whether a command has run before.
      const expected = one.handler === 'act' ? /^[245]\./ : /^2\.04$/;
      if (voice === 'speaks') expect(`${code}`, `${what}: ${one.handler}\n${agent.output()}`).toMatch(expected);
    }
  }

  async function live(life: Life): Promise<void> {
    await attacker.replay(someOld());
    if (life.voice === 'is silent') {
      for (const caller of callers) await caller.fire(command());
      expect(await attacker.isRefused(SILENCE_MS), `${life.what}: it hears\n${life.agent.output()}`).toBe(true);
      expect(device.lastNonces(), `${life.what}: it has neither numbers nor a clock`).toEqual([]);
      return;
    }
    await exchange(life);
    // Now the windows are known.
    await attacker.replay(someOld());
    if (chance(2)) copyNow('a moment while it ran');
    await exchange(life);
    if (chance(2)) await sendInFlight();
  }

  async function sendInFlight(): Promise<void> {
    for (let left = random.integer(IN_FLIGHT); left > 0; left--) {
      await callers[random.integer(callers.length)]?.fire(command());
    }
    await rest(random.integer(IN_FLIGHT_MS));
    if (chance(4)) copyNow('a moment while it ran');
  }

  async function end(agent: Running, signal: 'SIGKILL' | 'SIGTERM', what: string): Promise<void> {
    agent.kill(signal);
    await agent.ended;
    const again = device.lastNonces().filter((nonce) => nonces.size === nonces.add(nonce).size);
    expect(again, `${what}: a nonce was used again`).toEqual([]);
    expect(ledger.tooOften(device.runs()), `${what}: an old request was accepted`).toEqual([]);
  }

  /** @returns how the next life begins */
  async function liveOnce(number: number, { isSynchronized, voice }: Beginning): Promise<Beginning> {
    const ending = nextEnding();
    const { event, isKilled, isBefore } = ending;
    const signal = isKilled ? 'SIGKILL' : 'SIGTERM';
    const what = `${name}, life ${number}, which ${voice}; ${event} ${isBefore ? 'before' : 'after'} ${signal}`;
    const agent = await device.start(isSynchronized);
    await live({ agent, voice, what });
    if (isBefore) {
      ending.inflict();
      if (chance(2)) await exchange({ agent, voice: 'may speak', what });
    }
    await end(agent, signal, what);
    if (!isKilled && !isBefore && voice === 'speaks') copyNow('a clean stop');
    if (!isBefore) ending.inflict();
    excuseAfter(ending);
    count(event);
    if (event === 'nothing' && chance(2)) await dieEarly(what);
    return beginningAfter(ending, voice);
  }

  function excuseAfter({ cleanStop, isKilled, isBefore, losesWindows }: Ending): void {
    if (cleanStop !== undefined) ledger.excuse(cleanStop.excused, cleanStop.count, device.runs());
    else if (isKilled || (losesWindows && !isBefore)) ledger.settle(device.runs());
  }

  async function dieEarly(what: string): Promise<void> {
    const agent = device.launch(chance(2));
    await rest(random.integer(START_MS));
    await end(agent, 'SIGKILL', `${what}, then killed while it starts`);
    count('killed while it started');
  }

  function beginningAfter({ setsNumbersBack, isBefore, losesNumbers }: Ending, before: Voice): Beginning {
    // Without a clock numbers that were set back are used again, and those that are lost stay lost.
    const isSynchronized = setsNumbersBack || before !== 'speaks' || chance(2);
    if (isSynchronized || !losesNumbers) return { isSynchronized, voice: 'speaks' };
    // An agent that runs on may write what was lost.
    return { isSynchronized, voice: isBefore ? 'may speak' : 'is silent' };
  }

  /** Sends again all that was ever sent: while the windows are lost, when they are known, and after a clean stop. */
  async function replayAll(): Promise<void> {
    await end(await device.start(true), 'SIGKILL', `${name}, before all is sent again`);
    ledger.settle(device.runs());
    for (const windows of ['lost', 'restored']) {
      const what = `${name}, all is sent again when windows are ${windows}`;
      const agent = await device.start(true);
      for (let times = 0; times < 2; times++) {
        await attacker.replay(sent);
        await exchange({ agent, voice: 'speaks', what });
      }
      await end(agent, 'SIGTERM', what);
    }
  }

  let beginning: Beginning = { isSynchronized: true, voice: 'speaks' };
  for (let number = 1; number <= rounds; number++) {
    count(`${beginning.isSynchronized ? 'with' : 'without'} a synchronised clock, ${beginning.voice}`);
    beginning = await liveOnce(number, beginning);
  }
  await replayAll();
  return {
    tally,
    nonces,
    /** The nonces of the responses that came. */
    answered: callers.flatMap((caller) => caller.nonces),
    replays: attacker.replays,
    runs: device.runs(),
  };
}
