import { messageOf } from '../../../shared/errors.js';
import type { ManagedAgent } from '../../agent.js';
import type { Log } from '../../base/log.js';
import type { MetricsPort } from '../../service/metrics/port.js';

/** The agent's metrics. The library that writes them is loaded when somebody asks for them. */
export const renderedMetrics = async (agent: ManagedAgent): Promise<string> =>
  (await import('../../service/metrics/metrics.js')).renderMetrics(agent);

/** Serves the metrics on a port, where one is configured. */
export async function openMetrics(agent: ManagedAgent, log: Log): Promise<MetricsPort | undefined> {
  const { port } = agent.config.metrics;
  if (port === undefined) return undefined;
  const { openMetricsPort } = await import('../../service/metrics/port.js');
  return openMetricsPort(port, () => renderedMetrics(agent), log).catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'no metrics on a port');
    return undefined;
  });
}
