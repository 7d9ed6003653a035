import { spawnSync } from 'node:child_process';
import * as z from 'zod';
import { DEBIANS_PYTHON } from './needs.js';
import { WAIT_MS } from './wait.js';

/**
 * Reads the text format with Prometheus's own Python library; and again as OpenMetrics, whose parser is the strict one:
 * each family whole, once, its samples in order and none twice, its buckets growing up to its count. For that what
 * OpenMetrics writes otherwise is rewritten: counters without their ending, numbers with their point, the end.
 */
const PARSER = `
import json, re, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families as parse
text = sys.stdin.read()
counters = re.findall(r'^# TYPE (\\S+)_total counter$', text, re.M)
lines = [line for line in text.split('\\n') if line]
for index, line in enumerate(lines):
    for name in counters:
        line = re.sub(r'^# (HELP|TYPE) ' + name + '_total ', r'# \\1 ' + name + ' ', line)
    lines[index] = re.sub(r'le="(\\d+)"', r'le="\\1.0"', line)
known = len(list(strictly('\\n'.join(lines) + '\\n# EOF\\n')))
families = [
    {'name': family.name, 'type': family.type, 'help': family.documentation,
     'samples': [{'name': s.name, 'labels': s.labels, 'value': s.value} for s in family.samples]}
    for family in parse(text)]
assert known == len(families), (known, len(families))
samples = [(s['name'], str(s['labels'])) for family in families for s in family['samples']]
assert len(samples) == len(set(samples)), 'a sample twice'
json.dump(families, sys.stdout)
`;

const familySchema = z.object({
  name: z.string(),
  type: z.enum(['counter', 'gauge', 'histogram']),
  help: z.string().min(1),
  samples: z.array(z.object({ name: z.string(), labels: z.record(z.string(), z.string()), value: z.number() })),
});

/** Metrics in Prometheus's text format, as Prometheus's own library reads them; fails where it does not. */
export function readMetrics(text: string) {
  const { status, stdout, stderr } = spawnSync(DEBIANS_PYTHON, ['-c', PARSER], {
    input: text,
    encoding: 'utf8',
    timeout: WAIT_MS,
  });
  if (status !== 0) throw new Error(`these are no metrics: ${stderr}\n${text}`);
  const families = z.array(familySchema).parse(JSON.parse(stdout));
  const samples = families.flatMap((family) => family.samples);
  return {
    families,
    /** The value of a sample that has at least these labels; undefined where there is none. */
    value: (name: string, labels: Readonly<Record<string, string>> = {}): number | undefined =>
      samples.find(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      )?.value,
  };
}
