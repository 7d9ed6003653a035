/** `npm run bench [-- NAME …]`: measures the agent as shipped against bare Node and its peers, on loopback addresses only. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

const NAMES = [
  'round-trips',
  'coap',
  'peers',
  'formats',
  'journal',
  'journal-ping',
  'journal-slow-disk',
  'journal-bytes',
  'journal-start',
  'start',
  'memory',
  'idle-cpu',
  'burst',
  'flood',
  'at-parser',
  'modem-line',
  'broadcast',
];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !NAMES.includes(name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}; there are ${NAMES.join(', ')}.`);
  process.exit(2);
}

const findings = [];
const methods = [];
for (const name of asked.length > 0 ? asked : NAMES) {
  const bench = await import(`./${name}.mjs`);
  console.log(bench.title);
  const found = await bench.run();
  for (const { what, figure, bound, pass } of found) {
    console.log(`  ${what}: ${figure} (${bound}) ${pass ? 'pass' : 'SHORT'}`);
  }
  findings.push(...found);
  methods.push(`- ${bench.title}: ${bench.method}.`);
}

const processors = cpus();
const machine = `${processors.length} × ${processors[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`;
const rmemMax = readFileSync('/proc/sys/net/core/rmem_max', 'utf8').trim();
console.log(`
| what | figure | bound | |
|---|---|---|---|
${findings.map(({ what, figure, bound, pass }) => `| ${what} | ${figure} | ${bound} | ${pass ? 'pass' : 'short'} |`).join('\n')}

Measured on ${machine}, Linux ${release()}, Node ${process.version}, net.core.rmem_max ${rmemMax}.

${methods.join('\n')}`);
process.exitCode = findings.every(({ pass }) => pass) ? 0 : 1;
