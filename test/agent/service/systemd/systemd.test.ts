import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Variables } from '../../../../agent/service/systemd/notify.js';
import { createSystemdService } from '../../../../agent/service/systemd/systemd.js';
import type { AgentStatus } from '../../../../agent/status.js';
import { onlyLink } from '../../../../agent/transport/transport.js';
import { deferred } from '../../../support/deferred.js';
import { recordingLog } from '../../../support/log.js';
import { managedAgent } from '../../support.js';

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
});

const { config, ...embedded } = managedAgent();
const idle = embedded.status();

/** The service of an agent that the test plays, and a systemd that hears all but what it is told not to. */
function create({ probe = async () => undefined, environment = {} }: Partial<Parts> = {}) {
  const { log, withMessage } = recordingLog();
  const told: Variables[] = [];
  const systemd = { deaf: false };
  const agent: { now: Partial<AgentStatus> } = { now: {} };
  const service = createSystemdService({
    agent: { config, probe, status: () => ({ ...idle, ...agent.now }) },
    log,
    environment,
    async notify(variables) {
      told.push(variables);
      return !systemd.deaf;
    },
  });
  onTestFinished(service.stop);
  return {
    service,
    systemd,
    agent,
    withMessage,
    /** What it is told in so long. */
    async toldIn(ms: number): Promise<Variables[]> {
      await vi.advanceTimersByTimeAsync(ms);
      return told.splice(0);
    },
  };
}

/** The same, and the agent has started. */
function start(parts: Partial<Parts> = {}) {
  const created = create(parts);
  created.service.start();
  return created;
}

interface Parts {
  readonly probe: () => Promise<void>;
  readonly environment: NodeJS.ProcessEnv;
}

const READY = { READY: '1', STATUS: expect.any(String) };
const MINUTE = 60_000;

describe('createSystemdService notifies systemd that the agent is ready', () => {
  it('once, with the status, when the probe succeeds', async () => {
    const back = deferred();
    const { toldIn, withMessage } = start({ probe: () => back.promise });
    expect(await toldIn(MINUTE)).toEqual([]);
    back.resolve();
    expect(await toldIn(MINUTE)).toEqual([READY]);
    expect(withMessage('systemd notified: ready')).toHaveLength(1);
  });

  it('also without a link, which the status says', async () => {
    const { toldIn, agent } = start();
    agent.now = { link: onlyLink({ name: 'udp', up: false, since: 0, reason: 'no address' }, 0) };
    expect(await toldIn(0)).toEqual([{ READY: '1', STATUS: expect.stringMatching(/^udp down: no address; /) }]);
  });

  it('not while the probe fails, which is logged once a minute', async () => {
    let broken = true;
    const { toldIn, withMessage } = start({
      async probe() {
        if (broken) throw new Error('no ping');
      },
    });
    expect(await toldIn(MINUTE - 1)).toEqual([]);
    expect(withMessage('not ready: the probe failed')).toMatchObject([{ details: { error: 'no ping' } }]);
    broken = false;
    expect(await toldIn(5000)).toEqual([READY]);
  });

  it('again until systemd received it, without keep-alives before', async () => {
    const { toldIn, systemd } = start({ environment: { WATCHDOG_USEC: '3000000' } });
    systemd.deaf = true;
    expect(await toldIn(9999)).toEqual([READY, READY]);
    systemd.deaf = false;
    expect(await toldIn(1)).toEqual([READY]);
    expect(await toldIn(2000)).toEqual([{ WATCHDOG: '1' }, { WATCHDOG: '1' }]);
  });
});

describe('createSystemdService notifies systemd of the status', () => {
  it('soon after a change, and not again without a change', async () => {
    const { toldIn, agent } = start();
    await toldIn(MINUTE);
    agent.now = { running: 1 };
    expect(await toldIn(2000)).toEqual([{ STATUS: expect.stringContaining('1 running') }]);
    expect(await toldIn(10 * MINUTE)).toEqual([]);
  });

  it('every 10 s at most, with the latest status', async () => {
    const { toldIn, agent } = start();
    await toldIn(MINUTE);
    let running = 0;
    const changing = setInterval(() => {
      agent.now = { running: ++running };
    }, 10);
    expect((await toldIn(MINUTE)).length).toBeLessThanOrEqual(6);
    clearInterval(changing);
    expect((await toldIn(MINUTE)).at(-1)).toEqual({ STATUS: expect.stringContaining(`${running} running`) });
  });

  it('again when systemd did not receive it', async () => {
    const { toldIn, agent, systemd } = start();
    await toldIn(MINUTE);
    systemd.deaf = true;
    agent.now = { waiting: 3 };
    expect(await toldIn(2000)).toHaveLength(1);
    systemd.deaf = false;
    expect(await toldIn(10_000)).toEqual([{ STATUS: expect.stringContaining('3 waiting') }]);
    expect(await toldIn(MINUTE)).toEqual([]);
  });
});

describe('createSystemdService notifies systemd that the agent stops', () => {
  /** `limits.stop` of 10 s, and what a stop takes besides. */
  const STOPPING = { STOPPING: '1', STATUS: 'stopping', EXTEND_TIMEOUT_USEC: '30000000' };

  it('and sends nothing afterwards', async () => {
    const { service, agent, toldIn } = start({ environment: { WATCHDOG_USEC: '3000000' } });
    await toldIn(500);
    void service.stop();
    agent.now = { running: 1 };
    expect(await toldIn(MINUTE)).toEqual([STOPPING]);
  });

  it.each(['never settles', 'fails'])('also while the first probe %s', async (how) => {
    const probe = () => (how === 'fails' ? Promise.reject(new Error('no ping')) : new Promise<void>(() => undefined));
    const { service, toldIn } = start({ probe });
    await toldIn(100);
    void service.stop();
    expect(await toldIn(MINUTE)).toEqual([STOPPING]);
  });

  it('also before the start, and sends nothing at a later start', async () => {
    const { service, toldIn } = create();
    void service.stop();
    service.start();
    expect(await toldIn(MINUTE)).toEqual([STOPPING]);
  });

  it('without a keep-alive afterwards, even when a probe was pending', async () => {
    const back = deferred();
    let probes = 0;
    const probe = () => (++probes === 1 ? Promise.resolve() : back.promise);
    const { service, toldIn } = start({ probe, environment: { WATCHDOG_USEC: '3000000' } });
    await toldIn(1500);
    expect(probes).toBe(2);
    void service.stop();
    back.resolve();
    expect(await toldIn(MINUTE)).toEqual([STOPPING]);
  });

  it('and waits a second for systemd at most', async () => {
    const service = createSystemdService({
      agent: { config, probe: async () => undefined, status: () => idle },
      log: recordingLog().log,
      environment: {},
      notify: () => new Promise(() => undefined),
    });
    let stopped = false;
    void service.stop().then(() => {
      stopped = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(stopped).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(stopped).toBe(true);
  });
});
