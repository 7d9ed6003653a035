import twilio from 'twilio';
import { describe, expect, test } from 'vitest';
import type { Loopback } from '../../loopback/index.js';
import { client, type ReceivedRequest, receiver } from '../loopback/support.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { LINKS } from '../support/story-links.js';

/** What a webhook says, once the vendor's own check has found that it is genuine. */
function read({ authToken }: Loopback, hook: string, { url, headers, body }: ReceivedRequest) {
  const fields = Object.fromEntries(new URLSearchParams(body));
  const signature = String(headers['x-twilio-signature']);
  expect(twilio.validateRequest(authToken, signature, `${hook}${url}`, fields)).toBe(true);
  return fields;
}

describe.each(LINKS)('by %s', (link) => {
  test('the owner’s server is told that a command was sent, and of its reply and an event', async () => {
    const loopback = await startTestLoopback({ webhooks: 'twilio' }, link);
    const agent = await startTestAgent(loopback);
    const { ipCommands, fleets } = client(loopback);
    const [statuses, fromSim] = [await receiver(), await receiver()];
    await fleets('fleet-1').update({ ipCommandsUrl: fromSim.url });

    const callbackUrl = `${statuses.url}/status`;
    const command = { sim: 'gateway-1', devicePort: 6969, payload: '#7 ping', callbackUrl };
    const { sid } = await ipCommands.create(command);
    expect(read(loopback, statuses.url, await statuses.requests.take())).toMatchObject({
      Sid: sid,
      Status: 'sent',
      Direction: 'to_sim',
      DeviceIp: loopback.sims[0]?.address,
      DevicePort: '6969',
    });
    const reply = read(loopback, fromSim.url, await fromSim.requests.take());
    expect(reply).toMatchObject({
      Status: 'received',
      Direction: 'from_sim',
      SimUniqueName: 'gateway-1',
      DeviceIp: loopback.sims[0]?.address,
      DevicePort: '6969',
      Payload: Buffer.from('#7 ok pong').toString('base64'),
    });
    await agent.emit('door.opened', { door: 3 });
    const event = read(loopback, fromSim.url, await fromSim.requests.take());
    expect(JSON.parse(Buffer.from(event['Payload'] ?? '', 'base64').toString())).toEqual({
      event: 'door.opened',
      data: { door: 3 },
    });

    loopback.setSimState('detached', 'gateway-1');
    await ipCommands.create(command);
    expect(read(loopback, statuses.url, await statuses.requests.take())).toMatchObject({
      Status: 'failed',
      ErrorCode: '83401',
    });
    expect([statuses.count(), fromSim.count()]).toEqual([2, 2]);
  });
});
