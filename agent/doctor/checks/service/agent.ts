import { isSupersimError, type SupersimError } from '../../../../shared/errors.js';
import { VERSION } from '../../../../shared/version.js';
import { defineCheck } from '../../check.js';
import type { Status } from '../../context.js';
import { failure, fromError, good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  readonly socket: string;
  readonly status: Status | SupersimError;
}

/** Whether an agent runs, and what it says of its links and of what waits. */
export const agent = defineCheck<Seen>({
  name: 'agent',
  look: async (context) => ({ socket: context.socket, status: await context.status() }),
  judge: judgeAgent,
});

export function judgeAgent({ socket, status }: Seen): Judgement[] {
  const looked = `control socket ${socket}`;
  if (isSupersimError(status, 'control-forbidden')) return [note(looked, status.message, status.remedy)];
  if (status instanceof Error) return [fromError(looked, status)];
  return [alive(looked, status), ...linksOf(looked, status), ...waiting(looked, status)];
}

function alive(looked: string, { version, pid, uptime }: Status): Judgement {
  if (version === VERSION) return good(looked, `version ${version}, process ${pid}, up ${Math.floor(uptime)} s`);
  const found = `the agent that runs has version ${version}, this program ${VERSION}`;
  return warning(looked, found, 'Run `sudo systemctl restart supersim-agent`: it was upgraded while it ran.');
}

/** One link that is down is only a warning while another is up. */
function linksOf(looked: string, { link }: Status): Judgement[] {
  const links = link?.links ?? [];
  const isReached = links.some(({ up }) => up);
  return links.map(({ name, up, reason = 'unknown', address }) => {
    if (up) return good(looked, `link ${name} is up${address === undefined ? '' : `, ${address}`}`);
    const found = `link ${name} is down: ${reason}`;
    if (!isReached)
      return failure(looked, found, 'link-down', 'See below what keeps it down: interface, route, serial port, modem.');
    return warning(looked, `${found}; the other one is used`, 'See below what keeps it down.', 'link-down');
  });
}

function waiting(looked: string, { outbox, waiting: commands }: Status): Judgement[] {
  const judgements: Judgement[] = [];
  if (commands > 0) {
    const remedy = 'See which run with `sudo supersim-agent commands ls`; handlers that hang need a shorter `timeout`.';
    judgements.push(note(looked, `${commands} commands wait for a place to run`, remedy));
  }
  const dropped = Object.values(outbox?.drops ?? {}).reduce((sum, count) => sum + count, 0);
  if (outbox !== undefined && outbox.entries > 0) {
    judgements.push(note(looked, `${outbox.entries} replies and events wait in the outbox for a link`));
  }
  if (dropped > 0) {
    const remedy = 'Raise `outbox.entries`, `outbox.bytes` or `outbox.keep`, if the link is often away for so long.';
    judgements.push(warning(looked, `${dropped} replies and events were lost while there was no link`, remedy));
  }
  return judgements;
}
