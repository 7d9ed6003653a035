import type { Endpoint } from '../network/network.js';
import type { Registration } from './cellular.js';
import type { FaultKind } from './faults/sampler.js';

/** What goes on in the virtual modem. */
export type ModemEvent =
  /** Its tty is there, or, without a path, gone. */
  | { readonly what: 'tty'; readonly path?: string }
  /** Processes have opened the tty; none: the last one has closed it. */
  | { readonly what: 'users'; readonly pids: readonly number[] }
  /** A command line and its result. */
  | { readonly what: 'command'; readonly command: string; readonly result: string }
  /** Printed unasked; without the data that a URC may hold. */
  | { readonly what: 'urc'; readonly text: string }
  | { readonly what: 'registration'; readonly registration: Registration }
  /** A datagram came to a port of the modem; `taken`: a socket has it. */
  | { readonly what: 'received'; readonly port: number; readonly bytes: number; readonly taken: boolean }
  | { readonly what: 'sent'; readonly port: number; readonly destination: Endpoint; readonly bytes: number }
  | { readonly what: 'fault'; readonly fault: FaultKind; readonly text: string }
  /** Other faults were set, here as the command line writes them. */
  | { readonly what: 'faults'; readonly faults: string; readonly seed: number }
  | { readonly what: 'restart'; readonly why: string }
  | { readonly what: 'note'; readonly text: string };

const MAX_CHARACTERS_SHOWN = 80;

/** One line of text, not yet made safe for a terminal. */
export function describeModemEvent(event: ModemEvent): string {
  switch (event.what) {
    case 'tty':
      return event.path === undefined ? 'tty gone' : `tty ${event.path}`;
    case 'users':
      return event.pids.length === 0 ? 'tty closed' : `tty opened by process ${event.pids.join(', ')}`;
    case 'command':
      return `${short(event.command)} → ${event.result}`;
    case 'urc':
      return `URC ${short(event.text)}`;
    case 'registration':
      return `registration ${event.registration}`;
    case 'received':
      return `datagram ${event.bytes} bytes to port ${event.port}${event.taken ? '' : ': no socket has it'}`;
    case 'sent':
      return `datagram ${event.bytes} bytes from port ${event.port} to ${event.destination.address}:${event.destination.port}`;
    case 'fault':
      return `fault ${event.fault} ${short(event.text)}`;
    case 'faults':
      return `faults ${event.faults} (seed ${event.seed})`;
    case 'restart':
      return `restart: ${event.why}`;
    case 'note':
      return event.text;
  }
}

const short = (text: string) => (text.length > MAX_CHARACTERS_SHOWN ? `${text.slice(0, MAX_CHARACTERS_SHOWN)}…` : text);
