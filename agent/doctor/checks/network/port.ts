import { readFile } from 'node:fs/promises';
import { formatEndpoint } from '../../../transport/endpoint.js';
import { formatHolder, holdersOf, isAgent, type PortHolder } from '../../../transport/modem/port/port-holders.js';
import { resolveAddress } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { failure, good, type Judgement, note } from '../../finding.js';
import type { Identity } from '../../identity.js';
import { clashes, readUdpSockets, type UdpSocket } from '../../udp-table.js';

interface TakenBy extends UdpSocket {
  readonly holders: readonly PortHolder[];
}

interface Seen {
  /** Whether UDP is used at all. */
  readonly isUsed: boolean;
  readonly ports: readonly { readonly port: number; readonly takenBy: readonly TakenBy[] }[];
  readonly agent: Identity;
  /** Of the agent that runs. */
  readonly pid: number | undefined;
  /** Where it says that it listens. */
  readonly listens: readonly string[];
  /** The first port that a user without rights may listen on. */
  readonly unprivileged: number;
  /** The service was given the right to listen below that. */
  readonly mayListenBelow: boolean;
}

const DEFAULT_UNPRIVILEGED = 1024;

/** Whether the device ports are free, or whose they are. */
export const port = defineCheck<Seen>({
  name: 'port',
  async look(context) {
    const { config } = context;
    const status = await context.status();
    const address = await resolveAddress(config.listen.address, config.gateway);
    const sockets = await readUdpSockets();
    const ports = config.listen.ports.map(async ({ port: number }) => {
      const taken = sockets.filter((socket) => socket.port === number && clashes(socket, address));
      const takenBy = taken.map(async (socket) => ({ ...socket, holders: await whoHas(socket) }));
      return { port: number, takenBy: await Promise.all(takenBy) };
    });
    const { properties } = await context.unit();
    return {
      isUsed: usesUdp(config),
      ports: await Promise.all(ports),
      agent: await context.agent(),
      pid: status instanceof Error ? undefined : status.pid,
      listens: status instanceof Error ? [] : status.ports.map((each) => `${status.address} ${each}`),
      unprivileged: Number(
        await readFile('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8').catch(() => DEFAULT_UNPRIVILEGED),
      ),
      mayListenBelow: properties?.AmbientCapabilities?.includes('cap_net_bind_service') === true,
    };
  },
  judge: judgePort,
});

/** What is only suspected of a serial port says nothing of a socket. */
const whoHas = async ({ inode }: UdpSocket): Promise<PortHolder[]> =>
  (await holdersOf(`socket:[${inode}]`)).filter(({ certain }) => certain);

export function judgePort(seen: Seen): Judgement[] {
  if (!seen.isUsed) return [note('link.policy', 'only the modem is used: no UDP port is needed')];
  return seen.ports.map(({ port: number, takenBy }) => {
    const looked = `UDP port ${number}, in /proc/net/udp`;
    const [socket] = takenBy;
    return socket === undefined ? judgeFree(looked, number, seen) : judgeTaken(looked, socket, seen);
  });
}

function judgeFree(looked: string, number: number, { agent, unprivileged, mayListenBelow }: Seen): Judgement {
  if (number < unprivileged && agent.uid !== 0 && !mayListenBelow) {
    const found = `it is free, but the agent’s user ${agent.name} may not listen below ${unprivileged}`;
    return failure(looked, found, 'port-forbidden');
  }
  return good(looked, 'it is free');
}

function judgeTaken(looked: string, socket: TakenBy, { pid, listens, agent }: Seen): Judgement {
  const { holders, address, uid } = socket;
  if (holders.some((holder) => holder.pid === pid || isAgent(holder))) {
    return good(looked, `the agent has it: ${formatEndpoint(socket)}, process ${holders[0]?.pid}`);
  }
  if (holders.length > 0) {
    const who = holders.map(formatHolder).join(', ');
    const [{ service, pid: other } = { pid: 0, service: undefined }] = holders;
    const end = service === undefined ? `\`sudo kill ${other}\`` : `\`sudo systemctl disable --now ${service}\``;
    const remedy = `Stop it: ${end}. Or choose another port in \`listen.ports\`, and name that to who sends commands.`;
    return failure(looked, `${formatEndpoint(socket)} is taken by ${who}`, 'port-in-use', remedy);
  }
  if (listens.includes(`${address} ${socket.port}`)) {
    return good(looked, `the agent says that it has it: ${formatEndpoint(socket)}`);
  }
  if (uid !== 0 && uid === agent.uid) {
    return good(looked, `a process of the agent’s user ${agent.name} has it: ${formatEndpoint(socket)}`);
  }
  const found = `${formatEndpoint(socket)} is taken, by whom this user may not see`;
  return note(looked, found, 'Run it with sudo.');
}
