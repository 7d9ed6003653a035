import { BlockList } from 'node:net';
import { CARRIER_RANGE, MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { type Endpoint, isVersion6 } from '../../transport/endpoint.js';
import type { Datagram } from '../../transport/transport.js';

/** Why a datagram is refused. */
export type RefusalCause = 'source' | 'empty' | 'oversize' | 'overload';

/** The answers for so many of the last addresses are remembered, and for up to twice as many: looking one up is slow. */
const REMEMBERED_ADDRESSES = 16_384;

/**
 * Makes the check that each datagram passes first. Refused datagrams are counted, and never answered.
 *
 * @param allow source ranges that may send commands
 */
export function createAdmission(allow: readonly string[]): (datagram: Datagram) => RefusalCause | undefined {
  const allowed = inRanges(allow);
  return ({ bytes, source }) => {
    if (!allowed(source.address)) return 'source';
    if (bytes.length === 0) return 'empty';
    return bytes.length > MAX_PAYLOAD_BYTES ? 'oversize' : undefined;
  };
}

/**
 * Tells whether an address is the carrier's: in its range, or the configured gateway itself. The carrier is one peer,
 * as a repeat of a command can come from another of the carrier's addresses and ports.
 */
export function createCarrierCheck(gateway: Endpoint): (address: string) => boolean {
  return inRanges([CARRIER_RANGE, `${gateway.address}/${isVersion6(gateway.address) ? 128 : 32}`]);
}

/** Tells whether an address is in one of the ranges. */
export function inRanges(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', prefix = ''] = range.split('/');
    list.addSubnet(network, Number(prefix), isVersion6(network) ? 'ipv6' : 'ipv4');
  }
  let recent = new Map<string, boolean>();
  let older = new Map<string, boolean>();
  return (address) => {
    const known = recent.get(address);
    if (known !== undefined) return known;
    const answer = older.get(address) ?? list.check(address, isVersion6(address) ? 'ipv6' : 'ipv4');
    if (recent.size >= REMEMBERED_ADDRESSES) {
      older = recent;
      recent = new Map();
    }
    recent.set(address, answer);
    return answer;
  };
}
