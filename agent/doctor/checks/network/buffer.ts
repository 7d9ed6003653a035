import { readFile } from 'node:fs/promises';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly isUsed: boolean;
  /** Size that the agent requests, in bytes. */
  readonly asked: number;
  /** `net.core.rmem_max`; undefined where it cannot be read. */
  readonly most: number | undefined;
  /** Datagrams that the kernel dropped since the agent started; undefined where unknown. */
  readonly drops: number | undefined;
}

/** Checks whether the kernel allows the receive buffer that the agent requests, and whether datagrams were dropped. */
export const buffer = defineCheck<Observation>({
  name: 'buffer',
  async look(context) {
    const most = await readFile('/proc/sys/net/core/rmem_max', 'utf8').catch(() => undefined);
    const status = await context.status();
    return {
      isUsed: usesUdp(context.config),
      asked: context.config.listen.receiveBufferBytes,
      most: most === undefined ? undefined : Number(most),
      drops: status instanceof Error ? undefined : status.kernelDrops,
    };
  },
  judge: judgeBuffer,
});

export function judgeBuffer({ isUsed, asked, most, drops = 0 }: Observation): Judgement[] {
  if (!isUsed) return [note('link.policy', 'the agent uses only the modem: it needs no receive buffer')];
  const looked = 'listen.receiveBufferBytes, net.core.rmem_max';
  const raise = `Install 60-supersim-agent.conf in /etc/sysctl.d, or run \`sudo sysctl -w net.core.rmem_max=${asked}\`; then restart the agent.`;
  const lost = drops > 0 ? `; the kernel dropped ${drops} datagrams because it was full` : '';
  if (most === undefined) return [note(looked, `net.core.rmem_max cannot be read${lost}`, raise)];
  if (most < asked) {
    return [warning(looked, `the agent requests ${asked} bytes, the kernel allows ${most}${lost}`, raise)];
  }
  if (drops > 0) {
    const remedy =
      'Raise `listen.receiveBufferBytes` and net.core.rmem_max, or find the handler that blocks the agent.';
    return [warning(looked, `${asked} bytes${lost}`, remedy)];
  }
  return [good(looked, `${asked} bytes requested, ${most} allowed, no datagram dropped`)];
}
