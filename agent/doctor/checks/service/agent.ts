import { isSupersimError, type SupersimError } from '../../../../shared/errors.js';
import { VERSION } from '../../../../shared/version.js';
import { defineCheck } from '../../check.js';
import type { Status } from '../../context.js';
import { failure, fromError, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly socket: string;
  readonly status: Status | SupersimError;
}

/** Checks whether an agent runs, its links, and its queues. */
export const agent = defineCheck<Observation>({
  name: 'agent',
  look: async (context) => ({ socket: context.socket, status: await context.status() }),
  judge: judgeAgent,
});

export function judgeAgent({ socket, status }: Observation): Judgement[] {
  const looked = `control socket ${socket}`;
  if (isSupersimError(status, 'control-forbidden')) return [note(looked, status.message, status.remedy)];
  if (status instanceof Error) return [fromError(looked, status)];
  return [judgeVersion(looked, status), ...judgeLinks(looked, status), ...judgeQueues(looked, status)];
}

function judgeVersion(looked: string, { version, pid, uptime }: Status): Judgement {
  if (version === VERSION) return good(looked, `version ${version}, process ${pid}, up ${Math.floor(uptime)} s`);
  const found = `the running agent has version ${version}, this program ${VERSION}`;
  return warning(looked, found, 'Restart the upgraded agent: `sudo systemctl restart supersim-agent`.');
}

/** A link that is down is only a warning while the other is up. */
function judgeLinks(looked: string, { link }: Status): Judgement[] {
  const links = link?.links ?? [];
  const isReached = links.some(({ up }) => up);
  return links.map(({ name, up, reason = 'unknown', address }) => {
    if (up) return good(looked, `link ${name} is up${address === undefined ? '' : `, ${address}`}`);
    const found = `link ${name} is down: ${reason}`;
    if (!isReached)
      return failure(looked, found, 'Read the findings below on interface, route, serial port and modem.', 'link-down');
    return warning(
      looked,
      `${found}; the other link is in use`,
      'Read the findings below on interface, route, serial port and modem.',
      'link-down',
    );
  });
}

const WAIT_FOR_HANDLERS =
  'List the running commands with `sudo supersim-agent commands ls`; give handlers that hang a shorter `timeout`.';
const WAIT_FOR_JOURNAL = 'They may wait for the journal, which cannot be written: read its finding below.';

function judgeQueues(looked: string, { outbox, waiting: commands, journal }: Status): Judgement[] {
  const judgements: Judgement[] = [];
  if (commands > 0) {
    const remedy = journal?.writable === false ? WAIT_FOR_JOURNAL : WAIT_FOR_HANDLERS;
    judgements.push(note(looked, `${commands} commands wait to run`, remedy));
  }
  const dropped = Object.values(outbox?.drops ?? {}).reduce((sum, count) => sum + count, 0);
  if (outbox !== undefined && outbox.entries > 0) {
    judgements.push(note(looked, `${outbox.entries} replies and events wait in the outbox for a link`));
  }
  if (dropped > 0) {
    const remedy = 'Raise `outbox.entries`, `outbox.bytes` or `outbox.keep` if the link is often down that long.';
    judgements.push(warning(looked, `${dropped} replies and events were lost while there was no link`, remedy));
  }
  return judgements;
}
