import type { Endpoint } from '../network/network.js';
import type { Registration } from './cellular.js';
import type { FaultKind } from './faults/sampler.js';

/** An event of the virtual modem. */
export type ModemEvent =
  /** The tty appeared, or, without a path, vanished. */
  | { readonly what: 'tty'; readonly path?: string }
  /** Processes opened the tty; none: the last one closed it. */
  | { readonly what: 'users'; readonly pids: readonly number[] }
  /** A command line got its result. */
  | { readonly what: 'command'; readonly command: string; readonly result: string }
  /** A URC was printed, given here without its data. */
  | { readonly what: 'urc'; readonly text: string }
  | { readonly what: 'registration'; readonly registration: Registration }
  /** A datagram arrived for a port of the modem; `taken`: a socket took it. */
  | { readonly what: 'received'; readonly port: number; readonly bytes: number; readonly taken: boolean }
  | { readonly what: 'sent'; readonly port: number; readonly destination: Endpoint; readonly bytes: number }
  | { readonly what: 'fault'; readonly fault: FaultKind; readonly text: string }
  /** Other faults were set, given here as the command line writes them. */
  | { readonly what: 'faults'; readonly faults: string; readonly seed: number }
  | { readonly what: 'restart'; readonly why: string }
  | { readonly what: 'note'; readonly text: string };

const MAX_CHARACTERS_SHOWN = 80;

/** Formats an event as one line, which may contain control characters. */
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
      return `datagram ${event.bytes} bytes to port ${event.port}${event.taken ? '' : ': no socket on this port'}`;
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
