/** The constants that a CoAP endpoint chooses (RFC 7252 §4.8); all times in milliseconds. */
export interface ChosenParameters {
  /** Least time before a confirmable message is retransmitted. */
  readonly ackTimeout: number;
  /** The first time-out is random, from ackTimeout to ackTimeout × this, so that peers do not synchronise. */
  readonly ackRandomFactor: number;
  /** Number of retransmissions of a confirmable message. */
  readonly maxRetransmit: number;
  /** Longest time that a datagram is in transit (§4.8.2). */
  readonly maxLatency: number;
  /** Longest time until a node acknowledges a message (§4.8.2). */
  readonly processingDelay: number;
}

/** The chosen constants, and those that RFC 7252 §4.8.2 derives from them; all times in milliseconds. */
export interface Parameters extends ChosenParameters {
  /** From the first transmission of a confirmable message to its last. */
  readonly maxTransmitSpan: number;
  /** From the first transmission until its sender gives up. */
  readonly maxTransmitWait: number;
  readonly maxRtt: number;
  /** From the first transmission until its message ID may be reused: how long duplicates are recognised. */
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

/** Parameters for CoAP peers on the network: RFC 7252's defaults (§4.8, table 2; exchange lifetime 247 s). */
export const DIRECT = derive({
  ackTimeout: 2000,
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  maxLatency: 100_000,
  processingDelay: 2000,
});

/** Parameters for messages through the network's gateway, each of which is an API call and slow. */
export const GATEWAY = derive({
  ackTimeout: 30_000,
  ackRandomFactor: 1.5,
  maxRetransmit: 2,
  maxLatency: 100_000,
  processingDelay: 30_000,
});

/** Returns the parameters between a device and a peer: `gateway`, or any other. */
export const parametersOf = (peer: string): Parameters => (peer === 'gateway' ? GATEWAY : DIRECT);

/** A confirmable request whose handler takes longer gets an empty ACK (§5.2.2), and its response later. */
export const PIGGYBACK_WAIT_MS = 1000;

/** Returns the parameters with all times multiplied by `scale`, for tests and simulations. */
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
