import { printable } from '../../shared/cli.js';
import { toJson } from '../../shared/format/value.js';
import type { DeviceEvent } from './event.js';
import type { ForwardResult } from './forward.js';

/** Formats an event as a line for people, safe for a terminal. */
export function formatLine(event: DeviceEvent, forwarded?: ForwardResult): string {
  const { heardAt, sid = '-', simUniqueName, simSid, direction } = event;
  const arrow = direction === 'from_sim' ? '←' : '→';
  const line = `${heardAt} ${sid} ${arrow} ${simUniqueName ?? simSid ?? '-'} ${describe(event)}`;
  return printable(forwarded === undefined ? line : `${line}: ${describeForward(forwarded)}`);
}

/** Formats an event as a line of JSON, with the result of forwarding it. */
export const formatJson = (event: DeviceEvent, forwarded?: ForwardResult): string =>
  printable(toJson(forwarded === undefined ? event : { ...event, forwarded }));

function describeForward({ ok, answer, attempts }: ForwardResult): string {
  const times = attempts === 1 ? '' : `, ${attempts} attempts`;
  return `${ok ? 'forwarded' : 'not forwarded'} (${answer}${times})`;
}

function describe(event: DeviceEvent): string {
  switch (event.kind) {
    case 'status':
      return event.errorCode === undefined ? event.status : `${event.status} (${event.errorCode})`;
    case 'event':
      return `event ${event.event}${'data' in event ? ` ${toJson(event.data)}` : ''}`;
    case 'accepted':
      return 'accepted';
    case 'reply': {
      const head = `reply ${typeof event.id === 'string' ? event.id : toJson(event.id)}`;
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
