import { printable } from '../../shared/cli.js';
import { toJson } from '../../shared/format/value.js';
import type { Heard } from './event.js';
import type { Forwarded } from './forward.js';

/** A line for people, safe for a terminal. */
export function lineOf(heard: Heard, how?: Forwarded): string {
  const { heardAt, sid = '-', simUniqueName, simSid, direction } = heard;
  const arrow = direction === 'from_sim' ? '←' : '→';
  const line = `${heardAt} ${sid} ${arrow} ${simUniqueName ?? simSid ?? '-'} ${describe(heard)}`;
  return printable(how === undefined ? line : `${line}: ${describeForward(how)}`);
}

/** What is forwarded, on one line, and what became of that. */
export const jsonOf = (heard: Heard, how?: Forwarded): string =>
  printable(toJson(how === undefined ? heard : { ...heard, forwarded: how }));

function describeForward({ ok, answer, attempts }: Forwarded): string {
  const times = attempts === 1 ? '' : `, ${attempts} attempts`;
  return `${ok ? 'forwarded' : 'not forwarded'} (${answer}${times})`;
}

function describe(heard: Heard): string {
  switch (heard.kind) {
    case 'status':
      return heard.errorCode === undefined ? heard.status : `${heard.status} (${heard.errorCode})`;
    case 'event':
      return `event ${heard.event}${'data' in heard ? ` ${toJson(heard.data)}` : ''}`;
    case 'accepted':
      return 'accepted';
    case 'reply': {
      const head = `reply ${typeof heard.id === 'string' ? heard.id : toJson(heard.id)}`;
      if (heard.error !== undefined) return `${head} error ${heard.error.code} ${heard.error.message}`;
      const block = heard.block === undefined ? '' : ` block ${heard.block.number}${heard.block.more ? '' : ' (last)'}`;
      return `${head} ok${block}${heard.result === undefined ? '' : ` ${toJson(heard.result)}`}`;
    }
    case 'message':
      return heard.value instanceof Uint8Array
        ? `bytes 0x${Buffer.from(heard.value).toString('hex')}`
        : `${heard.format} ${toJson(heard.value)}`;
  }
}
