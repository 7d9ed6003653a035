import { randomInt } from 'node:crypto';
import type { Loopback } from '../../loopback/index.js';
import { IpCommandClient } from '../../sender/index.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { GATEWAY_ADDRESS, GATEWAY_PORT } from '../../shared/limits.js';
import { inbox } from '../loopback/support.js';
import type { Peer } from './caller.js';
import { WAIT_MS } from './wait.js';

/** A modem may still have to be brought up. */

/** Who commands a SIM's device through the API: each datagram that is sent is a to_sim command, each that comes a from_sim one. */
export function openApiPeer(loopback: Loopback, sim = 'gateway-1'): Peer {
  const { accountSid, authToken, url: baseUrl } = loopback;
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  const endpoint = { address: GATEWAY_ADDRESS, port: GATEWAY_PORT };
  const replies = inbox<{ readonly bytes: Buffer; readonly source: typeof endpoint }>('from_sim commands', WAIT_MS);
  loopback.onEvent((event) => {
    if (event.type !== 'command' || event.command.direction !== 'from_sim' || event.simName !== sim) return;
    replies.push({ bytes: payloadBytes(event.command), source: endpoint });
  });
  const send = async (bytes: Uint8Array | string) =>
    void (await client.create({ sim, payload: Buffer.from(bytes), devicePort: 6969 }));
  return {
    endpoint,
    send,
    next: () => replies.take(),
    /** The device answers in the order in which it is asked what takes no time. */
    async everythingSoFar() {
      const id = randomInt(2 ** 47);
      await send(`#${id} ping`);
      const all = [];
      for (let one = await replies.take(); !one.bytes.toString().startsWith(`#${id} `); one = await replies.take())
        all.push(one);
      return all;
    },
  };
}
