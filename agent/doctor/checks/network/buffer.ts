import { readFile } from 'node:fs/promises';
import { defineCheck } from '../../check.js';
import { usesUdp } from '../../context.js';
import { good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  readonly isUsed: boolean;
  /** What the agent asks the kernel for, in bytes. */
  readonly asked: number;
  /** The most that the kernel gives; undefined where it does not tell. */
  readonly most: number | undefined;
  /** Datagrams that did not fit since the agent started; undefined where nobody tells. */
  readonly drops: number | undefined;
}

/** Whether the receive buffer has the size that is asked for, and whether it was enough. */
export const buffer = defineCheck<Seen>({
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

export function judgeBuffer({ isUsed, asked, most, drops = 0 }: Seen): Judgement[] {
  if (!isUsed) return [note('link.policy', 'only the modem is used: no receive buffer is needed')];
  const looked = 'listen.receiveBufferBytes, net.core.rmem_max';
  const raise = `Install the file 60-supersim-agent.conf in /etc/sysctl.d, or run \`sudo sysctl -w net.core.rmem_max=${asked}\`; then restart the agent.`;
  const lost = drops > 0 ? `; the kernel threw away ${drops} datagrams, as it was full` : '';
  if (most === undefined) return [note(looked, `the kernel does not tell here what it gives${lost}`, raise)];
  if (most < asked) {
    return [warning(looked, `the agent asks for ${asked} bytes, the kernel gives ${most} at most${lost}`, raise)];
  }
  if (drops > 0) {
    const remedy =
      'Raise `listen.receiveBufferBytes` and net.core.rmem_max, or find the handler that keeps the agent busy.';
    return [warning(looked, `${asked} bytes${lost}`, remedy)];
  }
  return [good(looked, `${asked} bytes asked, ${most} allowed, nothing lost`)];
}
