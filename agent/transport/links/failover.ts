import { messageOf, SupersimError } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import { type Endpoint, formatEndpoint } from '../endpoint.js';
import type { ModemTransport } from '../modem/options.js';
import { type LinkStatus, type SendCallback, type Transport, wallTime } from '../transport.js';
import { type ChoiceTimes, chooseLink, initialLinkChoice, type LinkName } from './link-choice.js';

/** Interval between checks of the links. */
const CHECK_INTERVAL_MS = 1000;
const NO_ADDRESS = 'no address to listen on';

export interface FailoverOptions extends ChoiceTimes {
  readonly udp: Transport;
  readonly modem: ModemTransport;
  readonly gateway: Endpoint;
  /** Returns why datagrams from an address do not reach the gateway by UDP; undefined when they do. */
  readonly routeProblem: (address: string) => Promise<string | undefined>;
}

/** Two links as one transport. The caller starts and stops the links themselves. */
export interface Failover extends Omit<Transport, 'start'> {
  /** Checks the links now, and from then on every second. */
  start(): Promise<void>;
}

/**
 * Chooses between two links; both receive. A datagram to the gateway is sent by the link that received its command, or
 * by the link in use, and by the other one where that fails. A datagram to another destination is sent by the first one
 * only.
 */
export function createFailover(options: FailoverOptions, log: Log): Failover {
  const { udp, modem, gateway } = options;
  const transports: Readonly<Record<LinkName, Transport>> = { udp, modem };
  let choice = initialLinkChoice(performance.now());
  let since = performance.now();
  let switches = 0;
  /** Why UDP did not reach the gateway at the last check. */
  let udpProblem: string | undefined;
  /** Whether the last send by UDP failed. */
  let udpFailing = false;
  let interruptionAllowed: boolean | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function check(): Promise<void> {
    const address = udp.address();
    udpProblem = address === undefined ? (statusOf(udp).reason ?? NO_ADDRESS) : await options.routeProblem(address);
    if (!stopped) decide(false);
  }

  function decide(udpFailed: boolean): void {
    const condition = udp.address() === undefined ? 'no-address' : udpProblem === undefined ? 'up' : 'no-route';
    const before = choice;
    const now = performance.now();
    choice = chooseLink(before, { udp: condition, modemUp: isUp('modem'), udpFailed }, options, now);
    if (choice.udp !== before.udp) {
      log.info({ link: 'udp', condition, reason: udpProblem }, condition === 'up' ? 'link up' : 'link down');
    }
    if (choice.why !== undefined) {
      since = now;
      switches++;
      log.warn({ from: before.link, to: choice.link, why: choice.why, switches }, 'link switched');
    }
    // An interface that is just coming up may belong to the same modem.
    const isDown = condition !== 'up' && now - choice.udpSince >= options.downForMs;
    allowInterruption(choice.link === 'modem' || isDown || udpFailing);
  }

  function allowInterruption(allowed: boolean): void {
    if (interruptionAllowed !== allowed) modem.allowInterruption(allowed);
    interruptionAllowed = allowed;
  }

  async function step(): Promise<void> {
    await check().catch((error: unknown) => log.error({ error: messageOf(error) }, 'cannot check the links'));
    if (!stopped) timer = setTimeout(step, CHECK_INTERVAL_MS);
  }

  const isUp = (link: LinkName): boolean =>
    link === 'udp' ? udp.address() !== undefined && udpProblem === undefined : statusOf(modem).up;

  function udpStatus(): LinkStatus {
    const up = isUp('udp');
    const reason = up ? undefined : (udpProblem ?? NO_ADDRESS);
    return { ...statusOf(udp), up, reason, since: wallTime(choice.udpSince) };
  }

  /** Sends by the first of these links, and by the next ones when that fails. */
  function sendBy([link, ...others]: readonly LinkName[], outgoing: Outgoing): void {
    const { bytes, destination, port, done } = outgoing;
    if (link === undefined) {
      done(sendError(outgoing));
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

  function sendError({ bytes, destination }: Outgoing): Error {
    const { length } = bytes;
    const most = Math.max(udp.maxBytes(), modem.maxBytes());
    if (length > most)
      return new SupersimError(
        'too-large',
        `cannot send a datagram of ${length} bytes: the links take at most ${most}`,
      );
    return new SupersimError('link-down', `no link can send ${length} bytes to ${formatEndpoint(destination)} now`);
  }

  const canSend = (link: LinkName, length: number): boolean => isUp(link) && length <= transports[link].maxBytes();

  return {
    get name() {
      return choice.link;
    },
    async start() {
      await check();
      if (!stopped) timer = setTimeout(step, CHECK_INTERVAL_MS);
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
        order.filter((link) => canSend(link, bytes.length)),
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
  readonly done: SendCallback;
}

const isSame = (one: Endpoint, other: Endpoint): boolean => one.address === other.address && one.port === other.port;

/** Returns the status of the only link of a transport. */
function statusOf(transport: Transport): LinkStatus {
  const { links, name, since } = transport.link();
  return links[0] ?? { name, up: false, since };
}
