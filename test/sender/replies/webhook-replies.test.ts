import { createServer } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { ListFilters } from '../../../sender/api/client.js';
import {
  type Callback,
  type CommandUpdate,
  createRequester,
  createWebhookReceiver,
  IpCommandClient,
  QUIET_AFTER_MS,
  webhookListener,
  webhookReplies,
} from '../../../sender/index.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { startTestAgent, startTestLoopback } from '../../support/round-trip.js';
import { ipCommand } from '../support.js';

function callback(members: Partial<Callback> = {}): Callback {
  return {
    direction: 'from_sim',
    status: 'received',
    sid: ipCommand(1).sid,
    simSid: `HS${'2'.repeat(32)}`,
    simUniqueName: 'gateway-1',
    simIccid: undefined,
    deviceIp: undefined,
    devicePort: undefined,
    payload: Buffer.from('pong'),
    errorCode: undefined,
    errorMessage: undefined,
    ...members,
  };
}

function makeListener() {
  const heard: [CommandUpdate, number | undefined][] = [];
  const troubles: unknown[] = [];
  let calls = 0;
  return {
    heard,
    troubles,
    get calls() {
      return calls;
    },
    listener: {
      onCommand: (command: CommandUpdate, vendorCode?: number) => void heard.push([command, vendorCode]),
      onApiCall: () => {
        calls++;
      },
      onError: (error: unknown) => void troubles.push(error),
    },
  };
}

describe('replies from webhooks', () => {
  it.each(['gateway-1', `HS${'2'.repeat(32)}`])(
    'are reported to the listeners of the SIM as %s, until they unsubscribe',
    async (sim) => {
      const { listen, handleCallback } = webhookReplies();
      const { listener, heard } = makeListener();
      const other = makeListener();
      const leave = await listen(sim, listener);
      await listen('gateway-2', other.listener);
      handleCallback(callback());
      leave();
      handleCallback(callback());
      expect(heard).toEqual([
        [expect.objectContaining({ direction: 'from_sim', payload_type: 'binary', payload: 'cG9uZw==' }), undefined],
      ]);
      expect(other.heard).toEqual([]);
    },
  );

  it('are reported to listeners by unique name once the SID is known, where the callback has no name', async () => {
    const { listen, handleCallback, setSimSid } = webhookReplies();
    const { listener, heard } = makeListener();
    const leave = await listen('gateway-1', listener);
    const nameless = callback({ simUniqueName: undefined });
    handleCallback(nameless);
    setSimSid?.('gateway-1', `HS${'2'.repeat(32)}`);
    handleCallback(nameless);
    handleCallback(callback());
    expect(heard).toHaveLength(2);
    leave();
    handleCallback(nameless);
    setSimSid?.('gateway-1', `HS${'2'.repeat(32)}`);
    expect(heard).toHaveLength(2);
  });

  it('have the vendor’s code of a failed command', async () => {
    const { listen, handleCallback } = webhookReplies();
    const { listener, heard } = makeListener();
    await listen('gateway-1', listener);
    handleCallback(callback({ direction: 'to_sim', status: 'failed', payload: undefined, errorCode: 83401 }));
    expect(heard).toEqual([[expect.objectContaining({ status: 'failed', sid: ipCommand(1).sid }), 83401]]);
  });
});

describe('webhookReplies without a webhook', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function makeList(commands: IpCommand[]) {
    const state = { commands, looks: 0, error: undefined as Error | undefined };
    const client = {
      async *pages(_: ListFilters = {}) {
        state.looks++;
        if (state.error !== undefined) throw state.error;
        yield state.commands;
      },
    };
    return Object.assign(state, { client });
  }

  const received = (number: number) => ipCommand(number, { direction: 'from_sim', status: 'received' });

  it('polls the list, and reports also the commands that were in it', async () => {
    const list = makeList([received(1)]);
    const { listen } = webhookReplies({ client: list.client });
    const { listener, heard } = makeListener();
    const leave = await listen('gateway-1', listener);
    await vi.advanceTimersByTimeAsync(QUIET_AFTER_MS - 1);
    expect(list.looks).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(heard.map(([{ sid }]) => sid)).toEqual([ipCommand(1).sid]);
    leave();
  });

  it('waits again after each callback of the SIM', async () => {
    const list = makeList([]);
    const { listen, handleCallback } = webhookReplies({ client: list.client, quietAfter: 1000 });
    const leave = await listen('gateway-1', makeListener().listener);
    await vi.advanceTimersByTimeAsync(900);
    handleCallback(callback({ direction: 'to_sim', status: 'sent' }));
    await vi.advanceTimersByTimeAsync(900);
    expect(list.looks).toBe(0);
    await vi.advanceTimersByTimeAsync(100);
    expect(list.looks).toBeGreaterThan(0);
    leave();
  });

  it('does not poll for a listener that has unsubscribed', async () => {
    const list = makeList([]);
    const { listen } = webhookReplies({ client: list.client, quietAfter: 1000 });
    (await listen('gateway-1', makeListener().listener))();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(list.looks).toBe(0);
  });

  it('reports a list that cannot be read, and retries', async () => {
    const list = makeList([received(1)]);
    list.error = new Error('down');
    const { listen } = webhookReplies({ client: list.client, quietAfter: 1000 });
    const { listener, heard, troubles } = makeListener();
    const leave = await listen('gateway-1', listener);
    await vi.advanceTimersByTimeAsync(1000);
    expect(troubles).toEqual([list.error]);
    list.error = undefined;
    await vi.advanceTimersByTimeAsync(1000);
    expect(heard).toHaveLength(1);
    leave();
  });
});

describe('request() with webhooks', () => {
  /** @param answers whether the receiver takes what comes */
  async function start({ answers = true, quietAfter = 60_000 } = {}) {
    const loopback = await startTestLoopback();
    const { url: baseUrl, clientId, clientSecret, webhookSecret: koreSecret } = loopback;
    const client = new IpCommandClient({ baseUrl, clientId, clientSecret });
    const replies = webhookReplies({ client, quietAfter, interval: 100 });
    const receiver = createWebhookReceiver({ koreSecret, onCallback: replies.handleCallback });
    const listener = webhookListener(receiver);
    const server = createServer((request, response) => {
      if (answers) return void listener(request, response);
      response.writeHead(503).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    const address = server.address();
    const callbackUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/supersim`;
    const authorization = `Basic ${Buffer.from(`${loopback.accountSid}:${loopback.authToken}`).toString('base64')}`;
    await fetch(`${baseUrl}/v1/Fleets/fleet-1`, {
      method: 'POST',
      headers: { authorization },
      body: new URLSearchParams({ IpCommandsUrl: callbackUrl }),
    });
    return { loopback, receiver, request: createRequester({ client, replies, callbackUrl }) };
  }

  it('takes the reply from a webhook, and does not read the list', async () => {
    const { loopback, request } = await start();
    await startTestAgent(loopback);
    expect(await request('gateway-1', 'ping')).toMatchObject({ outcome: 'done', result: 'pong', apiCalls: 1 });
  });

  it('says why a command was not sent', async () => {
    const { loopback, request } = await start();
    loopback.setSimState('detached');
    expect(await request('gateway-1', 'ping')).toMatchObject({
      outcome: 'not-sent',
      error: { code: 'not-delivered', vendorCode: 83401 },
    });
  });

  it('reads the list when no webhook arrives', async () => {
    const { loopback, request, receiver } = await start({ answers: false, quietAfter: 300 });
    await startTestAgent(loopback);
    expect(await request('gateway-1', 'ping')).toMatchObject({ outcome: 'done', result: 'pong' });
    expect(receiver.counters.accepted).toBe(0);
  });

  it('takes the first copy of a reply when both deliver it', async () => {
    const { loopback, request, receiver } = await start({ quietAfter: 0 });
    await startTestAgent(loopback);
    expect(await request('gateway-1', 'ping')).toMatchObject({ outcome: 'done' });
    await expect.poll(() => receiver.counters).toMatchObject({ accepted: 2 });
  });
});
