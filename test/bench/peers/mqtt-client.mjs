/**
 * The load generator's side of MQTT 3.1.1. It does what a load needs and nothing else, so that it costs the machine little
 * more than a UDP socket does.
 */
import { EventEmitter, once } from 'node:events';
import { connect } from 'node:net';

/**
 * @typedef {{ commands: string, replies: string, qos: 0 | 1 }} Topics
 * @typedef {object} Link What a load uses of a `dgram` socket.
 * @property {(bytes: string | Buffer) => void} send
 * @property {(event: 'message', listener: (bytes: Buffer) => void) => unknown} on
 * @property {(event: 'message') => unknown} removeAllListeners
 * @property {() => unknown} close
 */

const CONNECT_TIMEOUT_MS = 5000;
/** Control packets, the type in the high four bits (MQTT 3.1.1 §2.2). */
const CONNECT = 0x10;
const CONNACK = 0x20;
const PUBLISH = 0x30;
const PUBACK = 0x40;
const SUBSCRIBE = 0x82;
const SUBACK = 0x90;
const DISCONNECT = Buffer.from([0xe0, 0]);
const MAX_PACKET_ID = 0xffff;
/** In the variable header of CONNECT: the protocol's name and level, a clean session, no keep-alive; then no client ID. */
const CONNECT_BODY = Buffer.from([0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 0, 0, 0]);
const FAILURE = 0x80;

/**
 * Connects to a broker and subscribes to the replies.
 *
 * @param {{ address: string, port: number, topics: Topics }} to
 * @returns {Promise<Link>}
 */
export async function connectMqtt({ address, port, topics }) {
  const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  const socket = connect({ host: address, port });
  await once(socket, 'connect', { signal });
  const client = new MqttClient(socket, topics);
  await client.open(signal);
  return client;
}

/** @implements {Link} */
class MqttClient extends EventEmitter {
  #socket;
  #topics;
  #packetId = 0;
  /** @type {Buffer} */
  #unread = Buffer.alloc(0);

  /** @param {import('node:net').Socket} socket @param {Topics} topics */
  constructor(socket, topics) {
    super();
    this.#socket = socket;
    this.#topics = topics;
    socket.on('error', () => undefined); // what it has not sent is lost
    socket.on('data', (chunk) => {
      socket.cork(); // what answers one chunk is sent at once
      this.#read(chunk);
      socket.uncork();
    });
  }

  /** @param {AbortSignal} signal */
  async open(signal) {
    this.#socket.write(packet(CONNECT, CONNECT_BODY));
    await once(this, 'connected', { signal });
    const { replies, qos } = this.#topics;
    this.#socket.write(packet(SUBSCRIBE, this.#nextPacketId(), prefixed(replies), Buffer.from([qos])));
    await once(this, 'subscribed', { signal });
  }

  /** Publishes to the topic of commands. @param {string | Buffer} payload */
  send(payload) {
    const { commands, qos } = this.#topics;
    const packetId = qos === 0 ? [] : [this.#nextPacketId()];
    this.#socket.write(packet(PUBLISH | (qos << 1), prefixed(commands), ...packetId, Buffer.from(payload)));
  }

  close() {
    this.#socket.end(DISCONNECT);
  }

  #nextPacketId() {
    this.#packetId = (this.#packetId % MAX_PACKET_ID) + 1;
    return uint16(this.#packetId);
  }

  /** @param {Buffer} chunk */
  #read(chunk) {
    const bytes = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    let start = 0;
    for (let bounds = boundsOf(bytes, start); bounds !== undefined; bounds = boundsOf(bytes, start)) {
      this.#take(bytes[start] ?? 0, bytes.subarray(bounds.body, bounds.end));
      start = bounds.end;
    }
    this.#unread = bytes.subarray(start);
  }

  /** @param {number} first byte of the packet @param {Buffer} body */
  #take(first, body) {
    switch (first & 0xf0) {
      case PUBLISH:
        this.#takePublish((first >> 1) & 3, body);
        break;
      case CONNACK:
        if (body[1] !== 0) throw new Error(`the broker refused the connection: ${body[1]}`);
        this.emit('connected');
        break;
      case SUBACK:
        if ((body[2] ?? FAILURE) >= FAILURE) throw new Error('the broker refused the subscription');
        this.emit('subscribed');
        break;
      default: // PUBACK: a packet ID comes again long after it was acknowledged
    }
  }

  /** @param {number} qos @param {Buffer} body */
  #takePublish(qos, body) {
    const topicEnd = 2 + body.readUInt16BE(0);
    if (qos === 0) {
      this.emit('message', body.subarray(topicEnd));
      return;
    }
    this.#socket.write(packet(PUBACK, body.subarray(topicEnd, topicEnd + 2)));
    this.emit('message', body.subarray(topicEnd + 2));
  }
}

/** @param {number} number */
const uint16 = (number) => Buffer.from([number >> 8, number & 0xff]);

/** A string with its length before it. @param {string} text */
const prefixed = (text) => Buffer.from([...uint16(Buffer.byteLength(text)), ...Buffer.from(text)]);

/**
 * @param {number} first byte
 * @param {Buffer[]} parts of its body, which are short: the length is one byte
 */
function packet(first, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > 0x7f) throw new Error(`a packet of ${length} bytes is too long for this client`);
  return Buffer.concat([Buffer.from([first, length]), ...parts]);
}

/**
 * Returns where the body of a packet begins and ends, or undefined when it has not come completely.
 *
 * @param {Buffer} bytes
 * @param {number} start
 */
function boundsOf(bytes, start) {
  let length = 0;
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    length += (byte & 0x7f) << (7 * (at - start - 1));
    if (byte >= 0x80) continue;
    const end = at + 1 + length;
    return end <= bytes.length ? { body: at + 1, end } : undefined;
  }
  return undefined;
}
