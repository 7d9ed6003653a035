import { readdirSync } from 'node:fs';
import { Counter, Gauge, Registry } from 'prom-client';
import { VERSION } from '../../../shared/version.js';
import type { ManagedAgent } from '../../agent.js';
import type { HandlerMeter, Meters } from '../../command/stats/meters.js';
import type { AgentStatus } from '../../status.js';
import type { ModemCounters } from '../../transport/transport.js';
import { addHistogram } from './histogram.js';

/** Of names that no handler has; no handler can be called so. */
const OTHERS = '(other)';
const REGISTRATIONS = ['none', 'home', 'searching', 'denied', 'unknown', 'roaming'] as const;

/** The values of the labels, in the order of their names, and the value of the sample. */
type Sample = readonly [labels: readonly string[], value: number];
type Add = (name: string, help: string, labelNames: readonly string[], samples: readonly Sample[]) => void;

/**
 * The agent's metrics in Prometheus's text format (0.0.4), as they are now. The series are made of the agent's plain
 * numbers when they are asked for, and are gone afterwards.
 */
export function renderMetrics({ status, meters }: Pick<ManagedAgent, 'status' | 'meters'>): Promise<string> {
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
  gauge('supersim_agent_build_info', 'Always 1; the labels tell what runs.', ['version', 'node_version'], [build]);
  counter(
    'process_cpu_seconds_total',
    'Time on a processor, in user and system mode.',
    [],
    only((user + system) / 1e6),
  );
  gauge('process_resident_memory_bytes', 'Memory that is resident.', [], only(rss));
  gauge('process_heap_bytes', 'Memory of the JavaScript heap.', [], only(heapTotal));
  gauge('process_start_time_seconds', 'When it was started, in Unix time.', [], only(performance.timeOrigin / 1000));
  gauge(
    'process_open_fds',
    'Open file descriptors.',
    [],
    openFiles().map((count): Sample => [[], count]),
  );
}

/** None where the system does not tell. */
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
  gauge('supersim_agent_link_in_use', 'Whether the link is the one in use.', ['link'], inUse);
  counter('supersim_agent_link_switches_total', 'How often another link was taken.', [], only(link?.switches ?? 0));
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
  counter('supersim_agent_datagrams_received_total', 'Datagrams that came, by what became of them.', labels, received);
  counter('supersim_agent_received_bytes_total', 'Bytes of these.', ['transport'], bytes('receivedBytes'));
  counter('supersim_agent_datagrams_sent_total', 'Datagrams that were to leave.', labels, sent);
  counter('supersim_agent_sent_bytes_total', 'Bytes of those that left.', ['transport'], bytes('sentBytes'));
  const delayed = 'Replies and events that could not leave at once; they wait in the outbox, or are lost.';
  counter('supersim_agent_datagrams_delayed_total', delayed, [], only(counters.unsent));
  const drops = kernelDrops === undefined ? [] : only(kernelDrops);
  counter('supersim_agent_kernel_drops_total', 'Datagrams that found the receive buffer full.', [], drops);
}

function addCommands({ counter, gauge }: Adders, { counters, running, waiting }: AgentStatus, meters: Meters): void {
  const ended = byHandler(meters).flatMap(([name, { outcomes }]) =>
    Object.entries(outcomes).map(([outcome, count]): Sample => [[name, outcome], count]),
  );
  const labels = ['handler', 'outcome'];
  counter('supersim_agent_commands_total', 'Commands that have ended.', labels, ended);
  const repeats = 'Commands that came again, and were answered but not run.';
  counter('supersim_agent_command_repeats_total', repeats, [], only(counters.repeats));
  gauge('supersim_agent_commands_running', 'Commands that run.', [], only(running));
  gauge('supersim_agent_commands_waiting', 'Commands that wait for a place to run.', [], only(waiting));
}

const byHandler = ({ handlers, others }: Meters): [name: string, HandlerMeter][] => [...handlers, [OTHERS, others]];

function addLatencies(registry: Registry, meters: Meters): void {
  const runs = byHandler(meters).map(([handler, { runs: measured }]) => ({ labels: { handler }, measured }));
  addHistogram(registry, 'supersim_agent_handler_run_seconds', 'How long handlers ran.', ['handler'], runs);
  const replies = [{ labels: {}, measured: meters.replies }];
  addHistogram(registry, 'supersim_agent_reply_seconds', 'From the receipt of a command to its reply.', [], replies);
}

function addStorage({ counter, gauge }: Adders, { journal, outbox }: AgentStatus): void {
  if (journal !== undefined) {
    const { persistent, entries, live, bytes, damaged } = journal;
    gauge('supersim_agent_journal_persistent', 'Whether the journal is on the disk.', [], only(Number(persistent)));
    gauge('supersim_agent_journal_commands', 'Commands that the journal has.', [], only(entries));
    gauge('supersim_agent_journal_live_commands', 'Commands of these that have not ended.', [], only(live));
    gauge('supersim_agent_journal_bytes', 'Bytes that the journal has.', [], only(bytes));
    const lost = 'Databases that were found damaged, and set aside.';
    counter('supersim_agent_journal_damaged_total', lost, [], only(damaged));
  }
  if (outbox !== undefined) {
    const drops = Object.entries(outbox.drops).map(([cause, count]): Sample => [[cause], count]);
    gauge('supersim_agent_outbox_datagrams', 'Replies and events that wait for a link.', [], only(outbox.entries));
    gauge('supersim_agent_outbox_bytes', 'Bytes of these.', [], only(outbox.bytes));
    counter('supersim_agent_outbox_drops_total', 'Replies and events that never left, by cause.', ['cause'], drops);
  }
}

function addModem({ counter, gauge }: Adders, { link }: AgentStatus): void {
  const modem = link?.links.find((each) => each.modem !== undefined)?.modem;
  if (modem === undefined) return;
  const { signalDbm, registration, counters } = modem;
  const signal = signalDbm === undefined ? [] : only(signalDbm);
  const states = REGISTRATIONS.map((state): Sample => [[state], Number(state === (registration ?? 'unknown'))]);
  gauge('supersim_agent_modem_signal_dbm', 'Strength of the signal; absent while the modem does not know.', [], signal);
  gauge('supersim_agent_modem_registration', 'Whether its registration is this one.', ['state'], states);
  if (counters !== undefined) addModemCounters(counter, counters);
}

function addModemCounters(counter: Add, counters: ModemCounters): void {
  const { rungs, withheld, portOpened, dataUrcs, dataUrcsLost, polls, discardedBytes } = counters;
  const samplesOf = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]): Sample => [[name], count]);
  const recoveries = 'Steps of the recovery, also before the agent started.';
  counter('supersim_agent_modem_recoveries_total', recoveries, ['rung'], samplesOf(rungs));
  const spared = 'Steps of the recovery that were not done, as UDP worked.';
  counter('supersim_agent_modem_recoveries_withheld_total', spared, [], only(withheld));
  counter('supersim_agent_modem_port_opened_total', 'How often the serial port was opened.', [], only(portOpened));
  counter('supersim_agent_modem_data_urcs_total', 'How often the modem said that data wait.', [], only(dataUrcs));
  const lost = 'How often a poll found data that the modem had not said to wait.';
  counter('supersim_agent_modem_data_urcs_lost_total', lost, [], only(dataUrcsLost));
  counter('supersim_agent_modem_polls_total', 'How often the modem was asked whether data wait.', [], only(polls));
  const meaningless = 'Bytes from the modem that mean nothing.';
  counter('supersim_agent_modem_discarded_bytes_total', meaningless, ['reason'], samplesOf(discardedBytes));
}
