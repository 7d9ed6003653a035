/** `npm run bench [-- NAME …]`: measures the agent as shipped against bare Node and its peers, on loopback addresses only. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { basename } from 'node:path';

/** Each in its folder, and called by its name. */
const PATHS = [
  'commands/round-trips',
  'commands/coap',
  'peers/peers',
  'commands/formats',
  'commands/many-peers',
  'commands/lists',
  'journal/journal',
  'journal/journal-ping',
  'journal/journal-slow-disk',
  'journal/journal-bytes',
  'journal/journal-start',
  'process/start',
  'process/start-handlers',
  'process/memory',
  'process/idle-cpu',
  'commands/burst',
  'commands/flood',
  'security/security',
  'modem/at-parser',
  'modem/modem-line',
  'sender/broadcast',
  'sender/broadcast-cli',
  'loopback/loopback',
];
const BENCHES = new Map(PATHS.map((path) => [basename(path), path]));

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !BENCHES.has(name));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}; there are ${[...BENCHES.keys()].join(', ')}.`);
  process.exit(2);
}

const findings = [];
const methods = [];
for (const name of asked.length > 0 ? asked : BENCHES.keys()) {
  const bench = await import(`./${BENCHES.get(name)}.mjs`);
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
