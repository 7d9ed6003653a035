import type { SupersimError } from '../../../../shared/errors.js';
import { inRanges } from '../../../command/peers/admit.js';
import { describeSources, narrowAllow } from '../../../command/stats/sources.js';
import { rangeOfAddress } from '../../../transport/endpoint.js';
import { defineCheck } from '../../check.js';
import type { Status } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly allow: readonly string[];
  readonly gateway: string;
  readonly refused: Status['lastRefused'] | SupersimError;
  /** Where the last commands came from. */
  readonly sources: Status['sources'];
}

/** Checks whether the allow list admits the gateway, and shows the sources of commands, and those refused last. */
export const allow = defineCheck<Observation>({
  name: 'allow',
  async look(context) {
    const { config } = context;
    const status = await context.status();
    return {
      allow: config.allow,
      gateway: config.gateway.address,
      refused: status instanceof Error ? status : status.lastRefused,
      sources: status instanceof Error ? { addresses: [], others: 0 } : status.sources,
    };
  },
  judge: judgeAllow,
});

export function judgeAllow({ allow: ranges, gateway, refused, sources }: Observation): Judgement[] {
  const looked = `allow (${ranges.join(', ')}) and the sources refused last`;
  const judgements: Judgement[] = [];
  if (!inRanges(ranges)(gateway)) {
    const remedy = 'Add the carrier’s range 100.64.0.0/10 to `allow`, or remove `allow`.';
    judgements.push(failure(looked, `it does not admit ${gateway}, the network’s gateway`, remedy));
  }
  if (refused instanceof Error) return [...judgements, note(looked, refused.message, refused.remedy)];
  const isAllowed = inRanges(ranges);
  for (const one of refused) judgements.push(judgeRefused(looked, one, isAllowed(one.address)));
  if (judgements.length === 0) judgements.push(good(looked, 'no datagram refused since the agent started'));
  return [...judgements, ...judgeSources(ranges, sources)];
}

/** Names who commands the device, and the list that admits nobody else. */
function judgeSources(ranges: readonly string[], sources: Status['sources']): Judgement[] {
  const looked = 'sources of the last 1,000 commands';
  const found = `commands came from ${describeSources(sources)}`;
  const narrow = narrowAllow(sources);
  if (sources.addresses.length === 0) return [];
  if (narrow === `allow: [${ranges.join(', ')}]`) return [good(looked, found)];
  const remedy =
    narrow === undefined
      ? 'Keep `allow` as narrow as the network permits.'
      : `If nobody else is to command the device, set \`${narrow}\`.`;
  return [note(looked, found, remedy)];
}

function judgeRefused(
  looked: string,
  { cause, address, times, at, bytes }: Status['lastRefused'][number],
  isAllowed: boolean,
): Judgement {
  const when = `${times} times, last at ${new Date(at).toISOString()} with ${bytes} bytes`;
  if (cause === 'source' && isAllowed) {
    return note(
      looked,
      `${address} was refused ${when}; the configuration as it is now would admit it`,
      'Apply the configuration: `sudo supersim-agent reload`.',
    );
  }
  if (cause === 'source') {
    const remedy = `If commands come from there, add \`${rangeOfAddress(address)}\` to \`allow\`. If not, there is nothing to do: its datagrams are not answered.`;
    return warning(looked, `${address} is not admitted: ${when}`, remedy);
  }
  if (cause === 'overload') {
    const remedy = 'Let it send less, or take it out of `allow`. Others lose nothing by it as long as they send less.';
    return note(looked, `${address} sent more than the agent could handle: ${when}`, remedy);
  }
  const what = cause === 'malformed' ? 'sent datagrams in no known format' : `sent ${cause} datagrams`;
  return note(
    looked,
    `${address} ${what}: ${when}`,
    'Check what it sends and to which port: a port may be pinned to another format.',
  );
}
