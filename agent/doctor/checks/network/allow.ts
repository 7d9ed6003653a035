import type { SupersimError } from '../../../../shared/errors.js';
import { inRanges } from '../../../command/admit.js';
import { defineCheck } from '../../check.js';
import type { Status } from '../../context.js';
import { fault, good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  readonly allow: readonly string[];
  readonly gateway: string;
  readonly refused: Status['lastRefused'] | SupersimError;
}

/** Whether the allow list lets the network in, and whom it kept out last. */
export const allow = defineCheck<Seen>({
  name: 'allow',
  async look(context) {
    const { config } = context;
    const status = await context.status();
    return {
      allow: config.allow,
      gateway: config.gateway.address,
      refused: status instanceof Error ? status : status.lastRefused,
    };
  },
  judge: judgeAllow,
});

export function judgeAllow({ allow: ranges, gateway, refused }: Seen): Judgement[] {
  const looked = `allow (${ranges.join(', ')}), and who was refused last`;
  const judgements: Judgement[] = [];
  if (!inRanges(ranges)(gateway)) {
    const remedy = 'Put the carrier’s range 100.64.0.0/10 into `allow`, or leave `allow` out.';
    judgements.push(fault(looked, `it does not let in ${gateway}, the network’s gateway`, remedy));
  }
  if (refused instanceof Error) return [...judgements, note(looked, refused.message, refused.remedy)];
  const isAllowed = inRanges(ranges);
  for (const one of refused) judgements.push(judgeRefused(looked, one, isAllowed(one.address)));
  return judgements.length > 0 ? judgements : [good(looked, 'nobody was refused since the agent started')];
}

function judgeRefused(
  looked: string,
  { cause, address, times, at, bytes }: Status['lastRefused'][number],
  isAllowed: boolean,
): Judgement {
  const when = `${times} times, the last at ${new Date(at).toISOString()} with ${bytes} bytes`;
  if (cause === 'source' && isAllowed) {
    return note(
      looked,
      `${address} was refused ${when}; by this configuration it would be let in`,
      'Restart the agent.',
    );
  }
  if (cause === 'source') {
    const range = `${address.replace(/%.*/, '')}/${address.includes(':') ? 128 : 32}`;
    const remedy = `If commands come from there, add \`${range}\` to \`allow\`. If not, all is well: it got no answer.`;
    return warning(looked, `${address} is not let in: ${when}`, remedy);
  }
  const what = cause === 'malformed' ? 'sent what is no command in a known format' : `sent datagrams that are ${cause}`;
  return note(
    looked,
    `${address} ${what}: ${when}`,
    'Look what it sends, and to which port: one may be pinned to another format.',
  );
}
