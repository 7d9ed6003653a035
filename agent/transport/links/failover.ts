import { messageOf, SupersimError } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { type Endpoint, formatEndpoint } from '../endpoint.js';
import type { ModemTransport } from '../modem/options.js';
import { type LinkStatus, type Sent, type Transport, wallTime } from '../transport.js';
import { type ChoiceTimes, choose, firstChoice, type LinkName } from './link-choice.js';

/** How often it is looked at the links. */
const LOOK_INTERVAL_MS = 1000;
const NO_ADDRESS = 'there is no address to listen on';

export interface FailoverOptions extends ChoiceTimes {
  readonly udp: Transport;
  readonly modem: ModemTransport;
  readonly gateway: Endpoint;
  /** Why what UDP sends from an address does not reach the gateway; undefined when it does. */
  readonly whyNotReached: (address: string) => Promise<string | undefined>;
}

/** Two links as one; they are started and stopped by who has made them. */
export interface Failover extends Omit<Transport, 'start'> {
  /** Looks at the links, and from now on every second. */
  start(): Promise<void>;
}

/**
 * Chooses between two links. Both receive. What goes to the gateway leaves by the link that its command came by, or
 * by the one in use, and by the other where that cannot take it; what goes elsewhere has only the one way.
 */
export function createFailover(options: FailoverOptions, log: Log): Failover {
  const { udp, modem, gateway } = options;
  const transports: Readonly<Record<LinkName, Transport>> = { udp, modem };
  let choice = firstChoice(performance.now());
  let since = performance.now();
  let switches = 0;
  /** Why UDP does not reach the gateway, as it was at the last look. */
  let unreached: string | undefined;
  /** The last that UDP was given to send could not leave. */
  let udpFailing = false;
  let interruption: boolean | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function look(): Promise<void> {
    const address = udp.address();
    unreached = address === undefined ? NO_ADDRESS : await options.whyNotReached(address);
    if (!stopped) decide(false);
  }

  function decide(udpFailed: boolean): void {
    const condition = udp.address() === undefined ? 'no-address' : unreached === undefined ? 'up' : 'no-route';
    const before = choice;
    const now = performance.now();
    choice = choose(before, { udp: condition, modemUp: isUp('modem'), udpFailed }, options, now);
    if (choice.udp !== before.udp) {
      log.info({ link: 'udp', condition, reason: unreached }, condition === 'up' ? 'link up' : 'link down');
    }
    if (choice.why !== undefined) {
      since = now;
      switches++;
      log.warn({ from: before.link, to: choice.link, why: choice.why, switches }, 'link switched');
    }
    // An interface that is just coming up may be the same modem's.
    const isGone = condition !== 'up' && now - choice.udpSince >= options.downForMs;
    allowInterruption(choice.link === 'modem' || isGone || udpFailing);
  }

  function allowInterruption(allowed: boolean): void {
    if (interruption !== allowed) modem.allowInterruption(allowed);
    interruption = allowed;
  }

  async function step(): Promise<void> {
    await look().catch((error: unknown) => log.error({ error: messageOf(error) }, 'cannot look at the links'));
    if (!stopped) timer = setTimeout(step, LOOK_INTERVAL_MS);
  }

  const isUp = (link: LinkName): boolean =>
    link === 'udp' ? udp.address() !== undefined && unreached === undefined : statusOf(modem).up;

  function udpStatus(): LinkStatus {
    const up = isUp('udp');
    const reason = up ? undefined : (unreached ?? NO_ADDRESS);
    return { ...statusOf(udp), up, reason, since: wallTime(choice.udpSince) };
  }

  /** Sends by the first of these links, and by the others when that fails. */
  function sendBy([link, ...others]: readonly LinkName[], outgoing: Outgoing): void {
    const { bytes, destination, port, done } = outgoing;
    if (link === undefined) {
      done(noWay(outgoing));
      return;
    }
    const sent = (error?: Error) => {
      if (link === 'udp') udpFailing = error !== undefined;
      if (error === undefined) {
        done(undefined, link);
        return;
      }
      if (link === 'udp' && isUp('udp')) decide(true);
      if (others.length === 0) done(error);
      else sendBy(others, outgoing);
    };
    transports[link].send(bytes, destination, port, sent, link);
  }

  function noWay({ bytes, destination }: Outgoing): Error {
    const { length } = bytes;
    const most = Math.max(udp.maxBytes(), modem.maxBytes());
    if (length > most) return new SupersimError('too-large', `a datagram has ${length} bytes; ${most} can leave`);
    return new SupersimError('link-down', `no link takes ${length} bytes to ${formatEndpoint(destination)} now`);
  }

  const takes = (link: LinkName, length: number): boolean => isUp(link) && length <= transports[link].maxBytes();

  return {
    get name() {
      return choice.link;
    },
    async start() {
      await look();
      if (!stopped) timer = setTimeout(step, LOOK_INTERVAL_MS);
    },
    send(bytes, destination, port, done, via) {
      const first = via === 'udp' || via === 'modem' ? via : choice.link;
      const outgoing = { bytes, destination, port, done };
      if (!isSame(destination, gateway)) {
        transports[first].send(bytes, destination, port, (error) => done(error, first), first);
        return;
      }
      const order: readonly LinkName[] = first === 'udp' ? ['udp', 'modem'] : ['modem', 'udp'];
      sendBy(
        order.filter((link) => takes(link, bytes.length)),
        outgoing,
      );
    },
    maxBytes: () => Math.min(udp.maxBytes(), modem.maxBytes()),
    link() {
      const both = [udpStatus(), statusOf(modem)];
      const links = choice.link === 'udp' ? both : both.reverse();
      return { name: choice.link, since: wallTime(since), switches, links };
    },
    address: () => transports[choice.link].address(),
    kernelDrops: udp.kernelDrops,
    modem: modem.modem,
    async stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly destination: Endpoint;
  readonly port: number;
  readonly done: Sent;
}

const isSame = (one: Endpoint, other: Endpoint): boolean => one.address === other.address && one.port === other.port;

/** What a transport of one link says of it. */
function statusOf(transport: Transport): LinkStatus {
  const { links, name, since } = transport.link();
  return links[0] ?? { name, up: false, since };
}
