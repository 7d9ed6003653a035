/** The constants that a CoAP endpoint chooses (RFC 7252 §4.8); all times in milliseconds. */
export interface ChosenParameters {
  /** Least time before a confirmable message is sent again. */
  readonly ackTimeout: number;
  /** The first time-out is drawn from ackTimeout to ackTimeout × this, so that peers do not fall into step. */
  readonly ackRandomFactor: number;
  /** How often a confirmable message is sent again. */
  readonly maxRetransmit: number;
  /** Longest that a datagram is on its way (§4.8.2). */
  readonly maxLatency: number;
  /** Longest that a node takes before it acknowledges (§4.8.2). */
  readonly processingDelay: number;
}

/** The chosen constants, and what RFC 7252 §4.8.2 derives from them; all times in milliseconds. */
export interface Parameters extends ChosenParameters {
  /** From the first transmission of a confirmable message to its last. */
  readonly maxTransmitSpan: number;
  /** From the first transmission until its sender gives up. */
  readonly maxTransmitWait: number;
  readonly maxRtt: number;
  /** From the first transmission until its message ID may be used again: how long duplicates are known. */
  readonly exchangeLifetime: number;
  /** The same for a non-confirmable message. */
  readonly nonLifetime: number;
}

function derive(chosen: ChosenParameters): Parameters {
  const { ackTimeout, ackRandomFactor, maxRetransmit, maxLatency, processingDelay } = chosen;
  const maxTransmitSpan = ackTimeout * (2 ** maxRetransmit - 1) * ackRandomFactor;
  return {
    ...chosen,
    maxTransmitSpan,
    maxTransmitWait: ackTimeout * (2 ** (maxRetransmit + 1) - 1) * ackRandomFactor,
    maxRtt: 2 * maxLatency + processingDelay,
    exchangeLifetime: maxTransmitSpan + 2 * maxLatency + processingDelay,
    nonLifetime: maxTransmitSpan + maxLatency,
  };
}

/** For CoAP peers on the network: RFC 7252's own (§4.8, table 2; exchange lifetime 247 s). */
export const DIRECT = derive({
  ackTimeout: 2000,
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  maxLatency: 100_000,
  processingDelay: 2000,
});

/** For what comes through the network's gateway: each message is an API call, and takes its time. */
export const GATEWAY = derive({
  ackTimeout: 30_000,
  ackRandomFactor: 1.5,
  maxRetransmit: 2,
  maxLatency: 100_000,
  processingDelay: 30_000,
});

/** The parameters that hold between a device and a peer: `gateway`, or any other. */
export const parametersOf = (peer: string): Parameters => (peer === 'gateway' ? GATEWAY : DIRECT);

/** A confirmable request whose handler takes longer gets an empty ACK (§5.2.2), and its response later. */
export const PIGGYBACK_WAIT_MS = 1000;

/** The same constants with all times multiplied by `scale`, for tests and simulations. */
export function scaled(parameters: ChosenParameters, scale: number): Parameters {
  const { ackTimeout, ackRandomFactor, maxRetransmit, maxLatency, processingDelay } = parameters;
  return derive({
    ackTimeout: ackTimeout * scale,
    ackRandomFactor,
    maxRetransmit,
    maxLatency: maxLatency * scale,
    processingDelay: processingDelay * scale,
  });
}
