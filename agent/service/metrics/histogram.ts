import { Histogram, type Registry } from 'prom-client';
import { BOUNDS, type Histogram as Measured } from '../../command/stats/meters.js';

interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly measured: Measured;
}

/** Adds a histogram of given counts: prom-client can only count by itself, so its output is overridden. */
export function addHistogram(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  series: readonly Series[],
): void {
  const histogram = new Histogram({ name, help, labelNames: [...labelNames], registers: [] });
  const values = series.flatMap((each) => samplesOf(name, each));
  const getForPromString = async () => ({ name, help, type: 'histogram', values });
  registry.registerMetric(Object.assign(histogram, { getForPromString }));
}

function samplesOf(name: string, { labels, measured: { counts, sum } }: Series) {
  let count = 0;
  const buckets = Array.from(counts, (ofBucket, index) => {
    count += ofBucket;
    const le = String(BOUNDS[index] ?? '+Inf');
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  // Series without observations are left out.
  if (count === 0 && Object.keys(labels).length > 0) return [];
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
