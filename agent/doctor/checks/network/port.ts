import { readFile } from 'node:fs/promises';
import { ERRORS } from '../../../../shared/errors.js';
import { type FileHolder, formatHolder, holdersOf } from '../../../base/file-holders.js';
import { formatEndpoint } from '../../../transport/endpoint.js';
import { listenOf } from '../../../transport/links/links.js';
import { isAgent } from '../../../transport/modem/port/port-holders.js';
import { resolveAddress } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { failure, good, type Judgement, note } from '../../finding.js';
import type { Identity } from '../../identity.js';
import { conflictsWith, readUdpSockets, type UdpSocket } from '../../udp-table.js';

interface TakenBy extends UdpSocket {
  readonly holders: readonly FileHolder[];
}

interface Observation {
  readonly isUsed: boolean;
  readonly ports: readonly { readonly port: number; readonly takenBy: readonly TakenBy[] }[];
  readonly agent: Identity;
  /** Process of the running agent. */
  readonly pid: number | undefined;
  /** Where the running agent says that it listens: `address port`. */
  readonly listens: readonly string[];
  /** `ip_unprivileged_port_start`. */
  readonly unprivileged: number;
  /** The service has CAP_NET_BIND_SERVICE. */
  readonly hasBindCapability: boolean;
}

const DEFAULT_UNPRIVILEGED = 1024;

/** Checks whether the device ports are free or the agent's, and which process has taken them otherwise. */
export const port = defineCheck<Observation>({
  name: 'port',
  async look(context) {
    const { config } = context;
    const status = await context.status();
    const { address } = await resolveAddress(listenOf(config), config.gateway);
    const sockets = await readUdpSockets();
    const ports = config.listen.ports.map(async ({ port: number }) => {
      const taken = sockets.filter((socket) => socket.port === number && conflictsWith(socket, address));
      const takenBy = taken.map(async (socket) => ({ ...socket, holders: await certainHolders(socket) }));
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
      hasBindCapability: properties?.AmbientCapabilities?.includes('cap_net_bind_service') === true,
    };
  },
  judge: judgePort,
});

/** Uncertain holders are guesses about serial ports: useless for a socket. */
const certainHolders = async ({ inode }: UdpSocket): Promise<FileHolder[]> =>
  (await holdersOf([`socket:[${inode}]`])).filter(({ certain }) => certain);

export function judgePort(observed: Observation): Judgement[] {
  if (!observed.isUsed) return [note('link.policy', 'the agent uses only the modem: it needs no UDP port')];
  return observed.ports.map(({ port: number, takenBy }) => {
    const looked = `UDP port ${number}, in /proc/net/udp`;
    const [socket] = takenBy;
    return socket === undefined ? judgeFree(looked, number, observed) : judgeTaken(looked, socket, observed);
  });
}

function judgeFree(looked: string, number: number, { agent, unprivileged, hasBindCapability }: Observation): Judgement {
  if (number < unprivileged && agent.uid !== 0 && !hasBindCapability) {
    const found = `free, but the agent’s user ${agent.name} may not listen on ports below ${unprivileged}`;
    return failure(looked, found, ERRORS['port-forbidden'].remedy, 'port-forbidden');
  }
  return good(looked, 'free');
}

function judgeTaken(looked: string, socket: TakenBy, { pid, listens, agent }: Observation): Judgement {
  const { holders, address, uid } = socket;
  if (holders.some((holder) => holder.pid === pid || isAgent(holder))) {
    return good(looked, `used by the agent: ${formatEndpoint(socket)}, process ${holders[0]?.pid}`);
  }
  if (holders.length > 0) {
    const who = holders.map(formatHolder).join(', ');
    const [{ service, pid: other } = { pid: 0, service: undefined }] = holders;
    const end = service === undefined ? `\`sudo kill ${other}\`` : `\`sudo systemctl disable --now ${service}\``;
    const remedy = `Stop it: ${end}. Or set another port in \`listen.ports\`, and send commands to that port.`;
    return failure(looked, `${formatEndpoint(socket)} is in use by ${who}`, remedy, 'port-in-use');
  }
  if (listens.includes(`${address} ${socket.port}`)) {
    return good(looked, `used by the agent, as its status says: ${formatEndpoint(socket)}`);
  }
  if (uid !== 0 && uid === agent.uid) {
    return good(looked, `used by a process of the agent’s user ${agent.name}: ${formatEndpoint(socket)}`);
  }
  const found = `${formatEndpoint(socket)} is in use by a process that this user may not see`;
  return note(looked, found, 'Run it with sudo.');
}
