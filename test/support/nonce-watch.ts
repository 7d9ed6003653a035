import type { Loopback } from '../../loopback/index.js';
import { payloadBytes } from '../../shared/ip-command.js';

/** Bytes of an empty CoAP message, such as an acknowledgement, which is never protected. */
const EMPTY_BYTES = 4;

/** Watches all that the API gets for SIMs whose devices have keys. */
export function watchNonces(loopback: Loopback) {
  /** The SIM and the bytes of the datagrams with a number, which is drawn for all keys of an installation. */
  const seen = new Map<string, string>();
  const faults: string[] = [];
  let datagrams = 0;
  loopback.onEvent((event) => {
    if (event.type !== 'command' || event.command.status !== 'queued') return;
    const bytes = payloadBytes(event.command);
    datagrams++;
    const { kid, number } = event.coap?.oscore ?? {};
    if (kid === undefined || number === undefined) {
      if (bytes.length > EMPTY_BYTES) faults.push(`${event.simName} was sent ${bytes.toString('hex')} unprotected`);
      return;
    }
    const nonce = `kid ${kid}, number ${number}`;
    const datagram = `${event.simName} ${bytes.toString('hex')}`;
    const before = seen.get(nonce);
    if (before !== undefined && before !== datagram) faults.push(`${nonce}: ${before} and ${datagram}`);
    seen.set(nonce, datagram);
  });
  return {
    /** What must not be: a nonce with other bytes or another SIM, and what is not protected. */
    faults: (): readonly string[] => faults,
    /** How many datagrams the API got. */
    datagrams: () => datagrams,
    /** How many different numbers they have. */
    numbers: () => seen.size,
  };
}
