import { BlockList } from 'node:net';
import { CARRIER_RANGE, MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { type Endpoint, isVersion6 } from '../../transport/endpoint.js';
import type { Datagram } from '../../transport/transport.js';

/** Why a datagram is refused. */
export type RefusalCause = 'source' | 'empty' | 'oversize' | 'overload';

/** Addresses whose answer is cached; looking up an address in ranges is slow. */
const REMEMBERED_ADDRESSES = 1024;

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
  const remembered = new Map<string, boolean>();
  return (address) => {
    let answer = remembered.get(address);
    if (answer === undefined) {
      answer = list.check(address, isVersion6(address) ? 'ipv6' : 'ipv4');
      if (remembered.size >= REMEMBERED_ADDRESSES) remembered.clear();
      remembered.set(address, answer);
    }
    return answer;
  };
}
