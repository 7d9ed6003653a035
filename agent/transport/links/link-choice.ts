/** How UDP is: whether what it sends can reach the gateway by the cellular interface. */
export type UdpCondition = 'up' | 'no-address' | 'no-route';

export type LinkName = 'udp' | 'modem';

/** Why another link was taken. */
export type SwitchReason = 'no-address' | 'no-route' | 'send-failed' | 'udp-up' | 'modem-down';

/** What is seen of the links at a moment. */
export interface Seen {
  readonly udp: UdpCondition;
  readonly modemUp: boolean;
  /** Something could not leave by UDP since the last look, although it was up. */
  readonly udpFailed: boolean;
}

export interface Choice {
  readonly link: LinkName;
  /** Set when the last look has led to another link. */
  readonly why?: SwitchReason;
  readonly udp: UdpCondition;
  /** Since when UDP is in this condition and nothing failed to leave by it. */
  readonly udpSince: number;
}

export interface ChoiceTimes {
  /** How long UDP has to be without an address before the modem is taken. */
  readonly downForMs: number;
  /** How long UDP has to be up before it is taken again. */
  readonly upForMs: number;
}

/** UDP is preferred, and is given `downFor` to get an address. */
export const firstChoice = (now: number): Choice => ({ link: 'udp', udp: 'no-address', udpSince: now });

/**
 * Chooses the link:
 *
 * | in use | UDP | modem | link |
 * |---|---|---|---|
 * | udp | no route, or something could not leave | up | modem |
 * | udp | no address for `downFor` | up | modem |
 * | modem | up for `upFor`, and nothing failed to leave meanwhile | | udp |
 * | modem | up | down | udp |
 * | | otherwise | | stays |
 *
 * @param now on the monotonic clock, in milliseconds
 */
export function choose(before: Choice, seen: Seen, times: ChoiceTimes, now: number): Choice {
  const lasts = seen.udp === before.udp && !seen.udpFailed;
  const udpSince = lasts ? before.udpSince : now;
  const why = reasonToSwitch(before.link, seen, now - udpSince, times);
  if (why === undefined) return { link: before.link, udp: seen.udp, udpSince };
  return { link: before.link === 'udp' ? 'modem' : 'udp', why, udp: seen.udp, udpSince };
}

function reasonToSwitch(
  link: LinkName,
  { udp, modemUp, udpFailed }: Seen,
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
