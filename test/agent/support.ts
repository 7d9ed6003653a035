import { onTestFinished } from 'vitest';
import { type AgentOptions, createManagedAgent, type ManagedAgent } from '../../agent/agent.js';
import { resolveConfig } from '../../agent/config/load.js';
import { openPeer, randomAddress } from '../support/udp.js';

/** An agent with all that the program around it uses. */
export const managedAgent = ({ config, ...options }: AgentOptions = {}): ManagedAgent =>
  createManagedAgent(resolveConfig(config), options);

/** An agent on an address of its own, and a peer that plays the gateway, if none is given; both end with the test. */
export async function withGateway(options: AgentOptions = {}, peer?: Awaited<ReturnType<typeof openPeer>>) {
  const gateway = peer ?? (await openPeer());
  const address = randomAddress();
  const { listen, ...config } = options.config ?? {};
  const agent = managedAgent({
    ...options,
    config: {
      device: { id: 'box-1' },
      ...config,
      listen: { address, receiveBufferBytes: 65_536, ...listen },
      gateway: gateway.endpoint,
      allow: ['127.0.0.0/8'],
    },
  });
  onTestFinished(() => agent.stop());
  return { agent, gateway, device: { address, port: agent.config.listen.ports[0]?.port ?? 0 } };
}

export async function startedWithGateway(...args: Parameters<typeof withGateway>) {
  const all = await withGateway(...args);
  await all.agent.start();
  return all;
}
