/** Most bytes one IP Command carries, in either direction (docs/vendor-facts.md, "IP Commands: payload size"). */
export const MAX_PAYLOAD_BYTES = 1300;

/**
 * Most raw bytes of a binary to_sim payload, whether the limit of 1300 counts decoded bytes or Base64 characters, which
 * the vendor does not document: 975 raw bytes are 1300 Base64 characters.
 */
export const SAFE_BINARY_BYTES = 975;

/**
 * How long a device remembers which commands it was sent and how they ended, at the defaults of `journal`: longer than
 * their results. It depends on the rate of commands that must not run twice.
 */
export const REMEMBERED = 'at least one hour at 20 commands/s and one day at 10 commands/s';

/** Where a device sends a datagram that is to become a from_sim IP Command. */
export const GATEWAY_ADDRESS = '100.64.0.1';
export const GATEWAY_PORT = 6969;

/** The device port that all public examples use; the API accepts any. */
export const DEVICE_PORT = 6969;

/** The carrier's address range behind its NAT (RFC 6598). */
export const CARRIER_RANGE = '100.64.0.0/10';
