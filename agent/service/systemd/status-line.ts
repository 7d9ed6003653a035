import { utf8Head } from '../../../shared/format/cut.js';
import type { AgentStatus } from '../../status.js';

/** systemd takes no message above 4096 bytes, and an operator reads no line that long. */
const MAX_BYTES = 400;

/** How the agent is doing, on the line that `systemctl status` shows. It stays the same while nothing happens. */
export const statusLine = (status: AgentStatus): string =>
  utf8Head([linkPart(status), commandPart(status), queuePart(status)].join('; '), MAX_BYTES);

function linkPart({ link }: AgentStatus): string {
  const [used] = link?.links ?? [];
  if (used === undefined) return 'no link';
  const { name, up, address, reason = 'unknown' } = used;
  if (!up) return `${name} down: ${reason}`;
  return address === undefined ? `${name} up` : `${name} up, ${address}`;
}

/** A moment, not a time ago: that would have to be told again and again. */
function commandPart({ lastCommand }: AgentStatus): string {
  if (lastCommand === undefined) return 'no command yet';
  const { name = 'unreadable', outcome, code, at } = lastCommand;
  return `last command ${name} ${outcome}${code === undefined ? '' : ` (${code})`} at ${formatMoment(at)}`;
}

const formatMoment = (at: number) => new Date(at).toISOString().replace('.000Z', 'Z');

const queuePart = ({ running, waiting, outbox }: AgentStatus): string =>
  `${running} running, ${waiting} waiting, ${outbox?.entries ?? 0} in the outbox`;
