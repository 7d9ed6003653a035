import { printable } from '../../shared/cli.js';
import { toJson } from '../../shared/format/value.js';
import type { Authenticity, DeviceEvent, ReadDatagram } from './event.js';
import type { ForwardResult } from './forward.js';

/** Formats an event as a line for people, safe for a terminal. */
export function formatLine(event: DeviceEvent, forwarded?: ForwardResult): string {
  const { heardAt, sid = '-', simUniqueName, simSid, direction } = event;
  const arrow = direction === 'from_sim' ? '←' : '→';
  const what = event.kind === 'status' ? describeStatus(event) : `${describe(event)}${describeAuthenticity(event)}`;
  const line = `${heardAt} ${sid} ${arrow} ${simUniqueName ?? simSid ?? '-'} ${what}`;
  return printable(forwarded === undefined ? line : `${line}: ${describeForward(forwarded)}`);
}

/** Formats an event as a line of JSON, with the result of forwarding it. */
export const formatJson = (event: DeviceEvent, forwarded?: ForwardResult): string =>
  printable(toJson(forwarded === undefined ? event : { ...event, forwarded }));

function describeForward({ ok, answer, attempts }: ForwardResult): string {
  const times = attempts === 1 ? '' : `, ${attempts} attempts`;
  return `${ok ? 'forwarded' : 'not forwarded'} (${answer}${times})`;
}

const describeStatus = ({ status, errorCode }: Extract<DeviceEvent, { kind: 'status' }>): string =>
  errorCode === undefined ? status : `${status} (${errorCode})`;

/** Why a datagram is not authentic. */
const REASONS: Readonly<Record<NonNullable<Authenticity['reason']>, string>> = {
  unprotected: 'the SIM has a key',
  'no-key': 'it is protected, and no key for it is known',
  revoked: 'its key was revoked',
  'bad-tag': 'it was changed, or is not of this SIM',
  malformed: 'it is malformed',
  'not-an-event': 'it is protected, but no event',
};

/** Says whether a datagram is authentic, after what it says; nothing for one of a SIM without a key. */
export function describeAuthenticity({ authentic, fresh, reason }: Authenticity): string {
  if (authentic === true) return fresh === true ? ' (authentic)' : ' (authentic, may be old)';
  return reason === undefined ? '' : ` (not authentic: ${REASONS[reason]})`;
}

/** Describes what a device has sent; not yet safe for a terminal. */
export function describe(event: ReadDatagram): string {
  switch (event.kind) {
    case 'sealed':
      return `bytes 0x${event.value.toString('hex')}`;
    case 'event':
      return `event ${event.event}${'data' in event ? ` ${toJson(event.data)}` : ''}`;
    case 'accepted':
      return 'accepted';
    case 'reply': {
      const head = `reply ${typeof event.id === 'string' ? event.id : toJson(event.id)}`;
      if (event.protected === true) return `${head} protected`;
      if (event.error !== undefined) {
        const mark = event.recorded === false ? 'unrecorded error' : 'error';
        return `${head} ${mark} ${event.error.code} ${event.error.message}`;
      }
      const block = event.block === undefined ? '' : ` block ${event.block.number}${event.block.more ? '' : ' (last)'}`;
      return `${head} ${event.forgotten === true ? 'forgotten ok' : 'ok'}${block}${event.result === undefined ? '' : ` ${toJson(event.result)}`}`;
    }
    case 'message':
      return event.value instanceof Uint8Array
        ? `bytes 0x${Buffer.from(event.value).toString('hex')}`
        : `${event.format} ${toJson(event.value)}`;
  }
}
