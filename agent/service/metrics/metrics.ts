import { readdirSync } from 'node:fs';
import { Counter, Gauge, Registry } from 'prom-client';
import { VERSION } from '../../../shared/version.js';
import type { HandlerMeter, Meters } from '../../command/stats/meters.js';
import type { AgentStatus } from '../../status.js';
import type { ModemCounters } from '../../transport/transport.js';
import { addHistogram } from './histogram.js';

/** Label for commands that name no handler; no handler can have this name. */
const OTHERS = '(other)';
const REGISTRATIONS = ['none', 'home', 'searching', 'denied', 'unknown', 'roaming'] as const;

/** Label values in the order of the label names, and the sample's value. */
type Sample = readonly [labels: readonly string[], value: number];
type Add = (name: string, help: string, labelNames: readonly string[], samples: readonly Sample[]) => void;

/** The figures that metrics are made of. */
export interface MetricsSource {
  status(): AgentStatus;
  readonly meters: Meters;
}

/**
 * Renders the present metrics in Prometheus's text format (0.0.4). The series are built for each scrape and discarded
 * afterwards.
 */
export function renderMetrics({ status, meters }: MetricsSource): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const counter: Add = (name, help, labelNames, samples) => {
    const made = new Counter({ name, help, labelNames: [...labelNames], registers });
    for (const [labels, value] of samples) made.inc(named(labelNames, labels), value);
  };
  const gauge: Add = (name, help, labelNames, samples) => {
    const made = new Gauge({ name, help, labelNames: [...labelNames], registers });
    for (const [labels, value] of samples) made.set(named(labelNames, labels), value);
  };
  const now = status();
  const add = { counter, gauge };
  addProcess(add);
  addLinks(add, now);
  addDatagrams(add, now, meters);
  addCommands(add, now, meters);
  addLatencies(registry, meters);
  addStorage(add, now);
  addModem(add, now);
  return registry.metrics();
}

interface Adders {
  readonly counter: Add;
  readonly gauge: Add;
}

const named = (names: readonly string[], values: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));

const only = (value: number): Sample[] => [[[], value]];

function addProcess({ counter, gauge }: Adders): void {
  const { user, system } = process.cpuUsage();
  const { rss, heapTotal } = process.memoryUsage();
  const build: Sample = [[VERSION, process.version], 1];
  gauge('supersim_agent_build_info', 'Always 1; the labels are the versions.', ['version', 'node_version'], [build]);
  counter('process_cpu_seconds_total', 'User and system CPU time.', [], only((user + system) / 1e6));
  gauge('process_resident_memory_bytes', 'Resident memory.', [], only(rss));
  gauge('process_heap_bytes', 'Size of the JavaScript heap.', [], only(heapTotal));
  gauge(
    'process_start_time_seconds',
    'Start time of the process, in Unix time.',
    [],
    only(performance.timeOrigin / 1000),
  );
  gauge(
    'process_open_fds',
    'Open file descriptors.',
    [],
    openFiles().map((count): Sample => [[], count]),
  );
}

/** Returns no sample where /proc cannot be read. */
function openFiles(): number[] {
  try {
    return [readdirSync('/proc/self/fd').length];
  } catch {
    return [];
  }
}

function addLinks({ counter, gauge }: Adders, { link }: AgentStatus): void {
  const links = link?.links ?? [];
  const up = links.map((each): Sample => [[each.name], Number(each.up)]);
  const inUse = links.map((each): Sample => [[each.name], Number(each.name === link?.name)]);
  gauge('supersim_agent_link_up', 'Whether the link is up.', ['link'], up);
  gauge('supersim_agent_link_in_use', 'Whether the link is in use.', ['link'], inUse);
  counter('supersim_agent_link_switches_total', 'Switches to another link.', [], only(link?.switches ?? 0));
}

function addDatagrams({ counter }: Adders, { link, counters, kernelDrops }: AgentStatus, { transports }: Meters): void {
  const names = (['udp', 'modem'] as const).filter((name) => link?.links.some((each) => each.name === name));
  const received = names.flatMap((name) =>
    Object.entries(transports[name].received).map(([result, count]): Sample => [[name, result], count]),
  );
  const sent = names.flatMap((name): Sample[] => [
    [[name, 'sent'], transports[name].sent],
    [[name, 'failed'], transports[name].failed],
  ]);
  const bytes = (of: 'receivedBytes' | 'sentBytes') => names.map((name): Sample => [[name], transports[name][of]]);
  const labels = ['transport', 'result'];
  counter('supersim_agent_datagrams_received_total', 'Received datagrams by result.', labels, received);
  counter('supersim_agent_received_bytes_total', 'Bytes of received datagrams.', ['transport'], bytes('receivedBytes'));
  counter('supersim_agent_datagrams_sent_total', 'Sent datagrams by result.', labels, sent);
  counter('supersim_agent_sent_bytes_total', 'Bytes of sent datagrams.', ['transport'], bytes('sentBytes'));
  const delayed = 'Replies and events that could not be sent at once: they wait in the outbox or are lost.';
  counter('supersim_agent_datagrams_delayed_total', delayed, [], only(counters.unsent));
  const held = Object.entries(counters.heldBack).map(([cause, count]): Sample => [[cause], count]);
  const heldBack = 'Datagrams that were not sent because of a limit, by limit.';
  counter('supersim_agent_datagrams_held_back_total', heldBack, ['limit'], held);
  const denied = Object.entries(counters.denied).map(([cause, count]): Sample => [[cause], count]);
  const denials = 'Requests that were denied by what protects the device, by cause; `stale` ones were challenged.';
  counter('supersim_agent_requests_denied_total', denials, ['cause'], denied);
  const drops = kernelDrops === undefined ? [] : only(kernelDrops);
  counter(
    'supersim_agent_kernel_drops_total',
    'Datagrams that the kernel dropped because the receive buffer was full.',
    [],
    drops,
  );
}

function addCommands({ counter, gauge }: Adders, { counters, running, waiting }: AgentStatus, meters: Meters): void {
  const ended = byHandler(meters).flatMap(([name, { outcomes }]) =>
    Object.entries(outcomes).map(([outcome, count]): Sample => [[name, outcome], count]),
  );
  const labels = ['handler', 'outcome'];
  counter('supersim_agent_commands_total', 'Finished commands by outcome.', labels, ended);
  const notStarted = Object.entries(counters.notStarted).map(([code, count]): Sample => [[code], count]);
  const help =
    'Commands whose program or service could not be started; busy: for want of descriptors, processes or memory.';
  counter('supersim_agent_handlers_not_started_total', help, ['code'], notStarted);
  const repeats = 'Repeated commands, answered without running again.';
  counter('supersim_agent_command_repeats_total', repeats, [], only(counters.repeats));
  gauge('supersim_agent_commands_running', 'Commands that are running.', [], only(running));
  gauge('supersim_agent_commands_waiting', 'Commands that are waiting to run.', [], only(waiting));
}

const byHandler = ({ handlers, others }: Meters): [name: string, HandlerMeter][] => [...handlers, [OTHERS, others]];

function addLatencies(registry: Registry, meters: Meters): void {
  const runs = byHandler(meters).map(([handler, { runs: measured }]) => ({ labels: { handler }, measured }));
  addHistogram(registry, 'supersim_agent_handler_run_seconds', 'Run time of handlers.', ['handler'], runs);
  const replies = [{ labels: {}, measured: meters.replies }];
  addHistogram(
    registry,
    'supersim_agent_reply_seconds',
    'Time from the receipt of a command to its reply.',
    [],
    replies,
  );
}

function addStorage({ counter, gauge }: Adders, { journal, outbox }: AgentStatus): void {
  if (journal !== undefined) addJournal({ counter, gauge }, journal);
  if (outbox !== undefined) {
    const drops = Object.entries(outbox.drops).map(([cause, count]): Sample => [[cause], count]);
    gauge('supersim_agent_outbox_datagrams', 'Replies and events that wait for a link.', [], only(outbox.entries));
    gauge('supersim_agent_outbox_bytes', 'Bytes of replies and events that wait for a link.', [], only(outbox.bytes));
    counter(
      'supersim_agent_outbox_drops_total',
      'Replies and events dropped from the outbox, by cause.',
      ['cause'],
      drops,
    );
  }
}

function addJournal({ counter, gauge }: Adders, journal: NonNullable<AgentStatus['journal']>): void {
  const gauges = [
    ['persistent', 'Whether the journal is on the disk.', Number(journal.persistent)],
    [
      'writable',
      'Whether the journal can be written; if not, commands that need it are busy.',
      Number(journal.writable),
    ],
    ['commands', 'Commands in the journal with their replies, or unfinished.', journal.entries],
    ['live_commands', 'Unfinished commands in the journal.', journal.live],
    ['remembered_commands', 'Commands whose outcomes are remembered.', journal.remembered],
    ['bytes', 'Size of the journal.', journal.bytes],
  ] as const;
  for (const [name, help, value] of gauges) gauge(`supersim_agent_journal_${name}`, help, [], only(value));
  const counters = [
    ['damaged', 'Databases that were found damaged and set aside.', journal.damaged],
    ['lost', 'Times that the journal was found lost, with what it remembered.', journal.lost],
    ['rewritten', 'Times that deleted files of the journal were written again.', journal.rewritten],
    ['worker_restarts', 'Times that the storage worker had ended or hung, and was replaced.', journal.restarted],
  ] as const;
  for (const [name, help, value] of counters) counter(`supersim_agent_journal_${name}_total`, help, [], only(value));
}

function addModem({ counter, gauge }: Adders, { link }: AgentStatus): void {
  const modem = link?.links.find((each) => each.modem !== undefined)?.modem;
  if (modem === undefined) return;
  const { signalDbm, registration, counters } = modem;
  const signal = signalDbm === undefined ? [] : only(signalDbm);
  const states = REGISTRATIONS.map((state): Sample => [[state], Number(state === (registration ?? 'unknown'))]);
  gauge('supersim_agent_modem_signal_dbm', 'Signal strength; absent while the modem does not know it.', [], signal);
  gauge('supersim_agent_modem_registration', 'Whether the network registration has this state.', ['state'], states);
  if (counters !== undefined) addModemCounters(counter, counters);
}

function addModemCounters(counter: Add, counters: ModemCounters): void {
  const { rungs, withheld, portOpened, dataUrcs, dataUrcsLost, polls, discardedBytes } = counters;
  const samplesOf = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]): Sample => [[name], count]);
  const recoveries = 'Recovery steps, including those before the agent started.';
  counter('supersim_agent_modem_recoveries_total', recoveries, ['rung'], samplesOf(rungs));
  const deferred = 'Recovery steps that were deferred while UDP worked.';
  counter('supersim_agent_modem_recoveries_withheld_total', deferred, [], only(withheld));
  counter('supersim_agent_modem_port_opened_total', 'Times the serial port was opened.', [], only(portOpened));
  counter('supersim_agent_modem_data_urcs_total', 'URCs by which the modem announced data.', [], only(dataUrcs));
  const lost = 'Polls that found data without such a URC.';
  counter('supersim_agent_modem_data_urcs_lost_total', lost, [], only(dataUrcsLost));
  counter('supersim_agent_modem_polls_total', 'Polls of the modem for data.', [], only(polls));
  const discarded = 'Unrecognised bytes from the modem, by reason.';
  counter('supersim_agent_modem_discarded_bytes_total', discarded, ['reason'], samplesOf(discardedBytes));
}
