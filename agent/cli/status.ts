import type { CommandModule } from 'yargs';
import type * as z from 'zod';
import { printable } from '../../shared/cli.js';
import { describeSources, narrowAllow } from '../command/stats/sources.js';
import { describeEnforcement } from '../packet-filter/enforcement.js';
import { describeSecurity } from '../security/authorize.js';
import type { Ask } from '../service/control/client.js';
import { type KeyShown, type LinkShown, statusSchema } from '../service/control/schema.js';
import { controlOptions, listing, printAnswer } from './control-output.js';
import { watchAgent } from './status-watch.js';

/** `supersim-agent status`. */
export const statusCommand: CommandModule = {
  command: 'status',
  describe: 'Show the running agent’s status',
  builder: (yargs) =>
    yargs.options({
      ...controlOptions,
      watch: { type: 'boolean', describe: 'Update every second, also across restarts of the agent, until Ctrl-C' },
    }),
  handler: (argv) => (argv['watch'] === true ? watchAgent(argv, request) : printAnswer(argv, request)),
};

async function request(ask: Ask) {
  const answer = await ask('GET', '/status', statusSchema);
  return { answer, text: formatStatus(answer), pid: answer.pid };
}

function formatStatus(status: Status): string {
  const { ports, running, waiting, counters, kernelDrops } = status;
  const refused = `${counters.refusedSource} source not allowed, ${counters.refusedEmpty} empty, ${counters.refusedOversize} too large, ${counters.malformed} malformed, ${counters.refusedOverload} in overload`;
  const listed = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ');
  const head = `supersim-agent ${status.version}, up ${formatUptime(status.uptime)}, process ${status.pid}`;
  return [
    printable(head),
    listing([
      ...linkRows(status),
      ...modemRows(status),
      ['ports', ports.join(', ')],
      ['interface', status.interface === undefined ? 'not used' : describeEnforcement(status.interface)],
      ...securityRows(status),
      ['commands', `${running} running, ${waiting} waiting`],
      ['outcomes', listed(counters.outcomes)],
      ['not started', counters.notStarted === undefined ? 'unknown' : listed(counters.notStarted)],
      ['last command', formatLastCommand(status.lastCommand)],
      ['command sources', formatSources(status.sources)],
      [
        'received',
        `${counters.received} datagrams, ${formatBytes(counters.receivedBytes)}, ${counters.repeats} repeats`,
      ],
      ['refused', refused],
      ['sent', `${counters.sent} datagrams, ${formatBytes(counters.sentBytes)}, ${counters.unsent} not sent at once`],
      ['denied', formatNonZero(counters.denied) || 'nothing'],
      ['held back', formatNonZero(counters.heldBack) || 'nothing'],
      ['last sent', formatLastSent(status.lastSent)],
      ['kernel drops', kernelDrops === undefined ? 'unknown' : String(kernelDrops)],
      ['journal', formatJournal(status.journal)],
      ['outbox', formatOutbox(status.outbox)],
      [
        'memory',
        `${formatBytes(status.memory.rss)} resident, ${formatBytes(status.memory.heapUsed)} of it JavaScript heap`,
      ],
      ['CPU', `${status.cpuSeconds.toFixed(1)} s, ${((status.cpuSeconds / status.uptime) * 100).toFixed(1)} %`],
    ]),
  ].join('\n');
}

/** Returns one row for who may command the device, one for each key, and one for each key file that cannot be used. */
function securityRows({ security }: Status): [string, string][] {
  const { required = false, unprotected = 'allow', keys = [], problems = [], numbers } = security ?? {};
  const rows: [string, string][] = [['security', describeSecurity({ required, unprotected, keys: keys.length })]];
  for (const key of keys) rows.push([`key ${key.name}`, formatKey(key)]);
  for (const problem of problems) rows.push(['key file', problem]);
  if (numbers !== undefined && numbers !== 'ready') rows.push(['protected replies', NUMBERS[numbers]]);
  return rows;
}

const formatKey = ({ kid, device, allow, windowKnown }: KeyShown): string =>
  [
    `kid ${kid}, device ${device}`,
    `may call ${allow === undefined ? 'all commands' : allow.join(', ') || 'nothing'}`,
    ...(windowKnown ? [] : ['next request is challenged']),
  ].join('; ');

/** Why nothing protected can be sent. */
const NUMBERS = {
  waiting: 'wait some seconds for a sequence number',
  unknown: 'none: the sequence numbers are lost until the clock is synchronised',
  unwritable: 'none: the state folder cannot be written',
  exhausted: 'none: the sequence numbers are used up; replace the keys',
} as const;

/** Returns one row for a single link; for two links a row for the one in use, and one for each. */
function linkRows({ address, link }: Status): [string, string][] {
  const links = link?.links ?? [];
  const [only] = links;
  if (link === undefined || only === undefined) {
    return [['link', address === undefined ? 'down: no address to listen on' : `up, ${address}`]];
  }
  if (links.length === 1) return [['link', `${only.name === 'udp' ? '' : `${only.name} `}${formatLink(only)}`]];
  const taken = formatUptime((Date.now() - link.since) / 1000);
  return [
    ['link', `${link.name} for ${taken}, ${link.switches} switches`],
    ...links.map((each): [string, string] => [each.name, formatLink(each)]),
  ];
}

/** Returns the modem's counters; no rows without a modem. */
function modemRows({ link }: Status): [string, string][] {
  const counters = link?.links.find(({ modem }) => modem?.counters !== undefined)?.modem?.counters;
  if (counters === undefined) return [];
  const { rungs, withheld, dataUrcs, dataUrcsLost, polls, discardedBytes } = counters;
  const withheldShown = withheld === 0 ? '' : `; ${withheld} deferred while UDP works`;
  const line = `${dataUrcs} data URCs, ${dataUrcsLost} lost ones detected by ${polls} polls`;
  return [
    ['modem recovery', `${formatNonZero(rungs) || 'none'}${withheldShown}`],
    ['modem line', `${line}; bytes discarded: ${formatNonZero(discardedBytes) || 'none'}`],
  ];
}

const formatNonZero = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

function formatLink({ up, reason, address, modem }: LinkShown): string {
  const { registration, operator, signalDbm } = modem ?? {};
  const state = up ? 'up' : `down: ${reason ?? 'unknown'}`;
  const signal = signalDbm === undefined ? undefined : `${signalDbm} dBm`;
  return [state, up ? address : undefined, registration, operator, signal]
    .filter((part) => part !== undefined)
    .join(', ');
}

function formatLastCommand(last: Status['lastCommand']): string {
  if (last === undefined) return 'none';
  const { name = 'unreadable', outcome, code, peer, transport, at } = last;
  return `${name} ${outcome}${code === undefined ? '' : ` (${code})`}, from ${peer} by ${transport}, ${formatAgo(at)}`;
}

function formatSources(sources: Status['sources']): string {
  const narrow = narrowAllow(sources);
  return `${describeSources(sources)}${narrow === undefined ? '' : `; to admit no others: ${narrow}`}`;
}

const formatLastSent = (last: Status['lastSent']): string =>
  last === undefined ? 'nothing' : `${last.bytes} bytes by ${last.transport}, ${formatAgo(last.at)}`;

const formatAgo = (at: number): string => `${formatUptime((Date.now() - at) / 1000)} ago`;

function formatJournal(journal: Status['journal']): string {
  if (journal === undefined) return 'none';
  const { entries, bytes, live, persistent, remembered, writable, reason = 'unknown' } = journal;
  const commands = [`${entries} commands`, `${live} unfinished`, formatBytes(bytes)];
  if (remembered !== undefined) commands.push(`${remembered} outcomes remembered`);
  if (!persistent) commands.push('in memory only');
  const troubles = [
    ...(writable ? [] : [`cannot be written: ${reason}`]),
    ...JOURNAL_TROUBLES.flatMap(([name, what]) => (journal[name] === 0 ? [] : [`${what}: ${journal[name]}`])),
  ];
  return [commands.join(', '), ...troubles].join('; ');
}

const JOURNAL_TROUBLES = [
  ['lost', 'found lost'],
  ['damaged', 'damaged and set aside'],
  ['rewritten', 'deleted files written again'],
  ['restarted', 'storage worker replaced'],
] as const;

function formatOutbox(outbox: Status['outbox']): string {
  if (outbox === undefined) return 'none';
  const drops = Object.entries(outbox.drops).map(([cause, count]) => `${cause} ${count}`);
  return `${outbox.entries} waiting, ${formatBytes(outbox.bytes)}; dropped by ${drops.join(', ')}`;
}

type Status = z.output<typeof statusSchema>;

/** `999 bytes`, `1.5 KiB`, `12.0 MiB`. */
function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** Formats the two largest units of a duration: `3 d 4 h`, `2 min 5 s`. */
function formatUptime(seconds: number): string {
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  if (first === -1) return '0 s';
  let rest = Math.floor(seconds);
  return UNITS.slice(first, first + 2)
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest %= size;
      return `${count} ${unit}`;
    })
    .join(' ');
}
