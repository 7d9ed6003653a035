import type { Endpoint } from '../../agent/transport/endpoint.js';

/** A datagram that was captured. */
export interface Captured {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly bytes: Buffer;
}

const MAGIC = 0xa1b2c3d4;
/** LINKTYPE_IPV4: the frames begin with the IPv4 header. */
const RAW_IPV4 = 228;
const IP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
const UDP = 17;

/** Returns datagrams as a capture file (draft-ietf-opsawg-pcap), for tshark to read. */
export function formatPcap(datagrams: readonly Captured[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32BE(MAGIC, 0);
  head.writeUInt16BE(2, 4);
  head.writeUInt16BE(4, 6);
  head.writeUInt32BE(65_535, 16);
  head.writeUInt32BE(RAW_IPV4, 20);
  return Buffer.concat([
    head,
    ...datagrams.flatMap((one, index) => [recordHead(one, index), ipHead(one), udpHead(one), one.bytes]),
  ]);
}

const frameBytes = ({ bytes }: Captured): number => IP_HEADER_BYTES + UDP_HEADER_BYTES + bytes.length;

function recordHead(one: Captured, index: number): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(index, 0);
  head.writeUInt32BE(frameBytes(one), 8);
  head.writeUInt32BE(frameBytes(one), 12);
  return head;
}

function ipHead({ from, to, ...one }: Captured): Buffer {
  const head = Buffer.alloc(IP_HEADER_BYTES);
  head[0] = 0x45;
  head.writeUInt16BE(frameBytes({ from, to, ...one }), 2);
  head[8] = 64;
  head[9] = UDP;
  head.set(from.address.split('.').map(Number), 12);
  head.set(to.address.split('.').map(Number), 16);
  return head;
}

function udpHead({ from, to, bytes }: Captured): Buffer {
  const head = Buffer.alloc(UDP_HEADER_BYTES);
  head.writeUInt16BE(from.port, 0);
  head.writeUInt16BE(to.port, 2);
  head.writeUInt16BE(UDP_HEADER_BYTES + bytes.length, 4);
  return head;
}
