/** Condition of UDP: whether its datagrams can reach the gateway by the cellular interface. */
export type UdpCondition = 'up' | 'no-address' | 'no-route';

export type LinkName = 'udp' | 'modem';

/** Reason for a switch to the other link. */
export type SwitchReason = 'no-address' | 'no-route' | 'send-failed' | 'udp-up' | 'modem-down';

/** Conditions of the links at a check. */
export interface LinkConditions {
  readonly udp: UdpCondition;
  readonly modemUp: boolean;
  /** Whether a datagram could not be sent by UDP since the last check, although UDP was up. */
  readonly udpFailed: boolean;
}

export interface LinkChoice {
  readonly link: LinkName;
  /** Reason of a switch at the last check. */
  readonly why?: SwitchReason;
  readonly udp: UdpCondition;
  /** Since when UDP is in this condition without a failed send. */
  readonly udpSince: number;
}

export interface ChoiceTimes {
  /** Time without an address of UDP until the modem is used. */
  readonly downForMs: number;
  /** Time that UDP has to be up until it is used again. */
  readonly upForMs: number;
}

/** Returns the first choice: UDP, which has `downFor` to get an address. */
export const initialLinkChoice = (now: number): LinkChoice => ({ link: 'udp', udp: 'no-address', udpSince: now });

/**
 * Chooses the link:
 *
 * | in use | UDP | modem | link |
 * |---|---|---|---|
 * | udp | no route, or a send failed | up | modem |
 * | udp | no address for `downFor` | up | modem |
 * | modem | up for `upFor` without a failed send | | udp |
 * | modem | up | down | udp |
 * | | otherwise | | stays |
 *
 * @param now on the monotonic clock, in milliseconds
 */
export function chooseLink(
  before: LinkChoice,
  conditions: LinkConditions,
  times: ChoiceTimes,
  now: number,
): LinkChoice {
  const lasts = conditions.udp === before.udp && !conditions.udpFailed;
  const udpSince = lasts ? before.udpSince : now;
  const why = reasonToSwitch(before.link, conditions, now - udpSince, times);
  if (why === undefined) return { link: before.link, udp: conditions.udp, udpSince };
  return { link: before.link === 'udp' ? 'modem' : 'udp', why, udp: conditions.udp, udpSince };
}

function reasonToSwitch(
  link: LinkName,
  { udp, modemUp, udpFailed }: LinkConditions,
  lasted: number,
  { downForMs, upForMs }: ChoiceTimes,
): SwitchReason | undefined {
  if (link === 'udp') {
    if (!modemUp) return undefined;
    if (udpFailed) return 'send-failed';
    if (udp === 'no-route') return udp;
    return udp === 'no-address' && lasted >= downForMs ? udp : undefined;
  }
  if (udp !== 'up') return undefined;
  if (!modemUp) return 'modem-down';
  return lasted >= upForMs ? 'udp-up' : undefined;
}
