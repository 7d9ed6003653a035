import { utf8Head } from '../../../shared/format/cut.js';
import type { AgentStatus } from '../../status.js';

/** systemd accepts up to 4096 bytes; a line for people should be shorter. */
const MAX_BYTES = 400;

/** Formats the line that `systemctl status` shows. It stays the same while nothing happens. */
export const statusLine = (status: AgentStatus): string =>
  utf8Head([linkPart(status), commandPart(status), queuePart(status)].join('; '), MAX_BYTES);

function linkPart({ link }: AgentStatus): string {
  const [used] = link?.links ?? [];
  if (used === undefined) return 'no link';
  const { name, up, address, reason = 'unknown' } = used;
  if (!up) return `${name} down: ${reason}`;
  return address === undefined ? `${name} up` : `${name} up, ${address}`;
}

/** Has a point in time, not an age: an age would change the line all the time. */
function commandPart({ lastCommand }: AgentStatus): string {
  if (lastCommand === undefined) return 'no command yet';
  const { name = 'unreadable', outcome, code, at } = lastCommand;
  return `last command ${name} ${outcome}${code === undefined ? '' : ` (${code})`} at ${formatMoment(at)}`;
}

const formatMoment = (at: number) => new Date(at).toISOString().replace('.000Z', 'Z');

const queuePart = ({ running, waiting, outbox }: AgentStatus): string =>
  `${running} running, ${waiting} waiting, ${outbox?.entries ?? 0} in the outbox`;
