import { BlockList } from 'node:net';
import { CARRIER_RANGE, MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { type Endpoint, isVersion6, rangeOfAddress } from '../../transport/endpoint.js';
import type { Datagram } from '../../transport/transport.js';

/** Why a datagram is refused. */
export type RefusalCause = 'source' | 'empty' | 'oversize' | 'overload';

/** The answers for so many of the last addresses of version 6 are remembered, and for up to twice as many: checks are slow. */
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
  return inRanges([CARRIER_RANGE, rangeOfAddress(gateway.address)]);
}

/** Tells whether an address is in one of the ranges. */
export function inRanges(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  const version4: Range[] = [];
  for (const range of ranges) {
    const [network = '', prefix = ''] = range.split('/');
    list.addSubnet(network, Number(prefix), isVersion6(network) ? 'ipv6' : 'ipv4');
    if (!isVersion6(network)) version4.push(rangeOf(network, Number(prefix)));
  }
  // Ranges of version 6 may have addresses of version 4 in them (::ffff:0:0/96).
  const inList = remember((address) => list.check(address, isVersion6(address) ? 'ipv6' : 'ipv4'));
  const hasVersion6 = version4.length < ranges.length;
  return (address) => {
    const number = numberOf(address);
    if (version4.some(({ first, last }) => number >= first && number <= last)) return true;
    return (hasVersion6 || Number.isNaN(number)) && inList(address);
  };
}

/** The first and the last address of a range of version 4. */
interface Range {
  readonly first: number;
  readonly last: number;
}

function rangeOf(network: string, prefix: number): Range {
  const size = 2 ** (32 - prefix);
  const number = numberOf(network);
  const first = number - (number % size);
  return { first, last: first + size - 1 };
}

const DOT = 0x2e;
const ZERO = 0x30;

/**
 * Reads an address of version 4. That takes less time than to look it up among thousands.
 *
 * @returns NaN for another address
 */
function numberOf(address: string): number {
  let number = 0;
  let part = Number.NaN;
  let dots = 0;
  for (let at = 0; at < address.length; at++) {
    const code = address.charCodeAt(at);
    const digit = code - ZERO;
    if (digit >= 0 && digit <= 9) part = (Number.isNaN(part) ? 0 : part * 10) + digit;
    else if (code === DOT && part <= 255) {
      number = number * 256 + part;
      part = Number.NaN;
      dots++;
    } else return Number.NaN;
  }
  return dots === 3 && part <= 255 ? number * 256 + part : Number.NaN;
}

/** Makes a check that remembers its answers for the last addresses. */
function remember(check: (address: string) => boolean): (address: string) => boolean {
  let recent = new Map<string, boolean>();
  let older = new Map<string, boolean>();
  return (address) => {
    const known = recent.get(address);
    if (known !== undefined) return known;
    const answer = older.get(address) ?? check(address);
    if (recent.size >= REMEMBERED_ADDRESSES) {
      older = recent;
      recent = new Map();
    }
    recent.set(address, answer);
    return answer;
  };
}
