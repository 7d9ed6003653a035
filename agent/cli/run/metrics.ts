import { messageOf } from '../../../shared/errors.js';
import type { Log } from '../../base/log.js';
import type { MetricsSource } from '../../service/metrics/metrics.js';
import type { MetricsPort } from '../../service/metrics/port.js';

/** Renders the metrics. The metrics code is loaded on the first scrape. */
export const renderMetrics = async (source: MetricsSource): Promise<string> =>
  (await import('../../service/metrics/metrics.js')).renderMetrics(source);

/** Serves the metrics on a port, where one is configured. */
export async function openMetrics(
  port: number | undefined,
  source: MetricsSource,
  log: Log,
): Promise<MetricsPort | undefined> {
  if (port === undefined) return undefined;
  const { openMetricsPort } = await import('../../service/metrics/port.js');
  return openMetricsPort(port, () => renderMetrics(source), log).catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'metrics port: not opened');
    return undefined;
  });
}
