import type { Outcome } from '../../shared/outcome.js';
import type { CliIo } from './io.js';

const BAR_WIDTH = 20;
/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const TERMINAL_INTERVAL = 250;
const LINE_INTERVAL = 10_000;

export type Counts = Record<Outcome, number>;

/** How far a broadcast is: a line that is drawn over on a terminal, and one now and then elsewhere. */
export function createProgress(counts: Readonly<Counts>, total: number, stderr: CliIo['stderr'], now = Date.now) {
  const startedAt = now();
  const before = endedOf(counts);
  const terminal = stderr.isTTY === true;
  let drawnAt = terminal ? 0 : startedAt;

  function draw(): void {
    drawnAt = now();
    const seconds = Math.max(0.001, (drawnAt - startedAt) / 1000);
    const line = formatProgress(counts, total, (endedOf(counts) - before) / seconds);
    stderr.write(terminal ? `\r\u001b[K${line}` : `${line}\n`);
  }

  return {
    /** Called after the counts have changed. */
    update() {
      if (now() - drawnAt >= (terminal ? TERMINAL_INTERVAL : LINE_INTERVAL)) draw();
    },
    /** Draws the last, and leaves the line. */
    end() {
      draw();
      if (terminal) stderr.write('\n');
    },
  };
}

const endedOf = (counts: Readonly<Counts>) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** @param rate SIMs a second since the start */
export function formatProgress(counts: Readonly<Counts>, total: number, rate: number): string {
  const ended = endedOf(counts);
  const share = total === 0 ? 1 : ended / total;
  const filled = Math.floor(share * BAR_WIDTH);
  const { done, 'no-answer': noAnswer } = counts;
  const left = rate > 0 ? (total - ended) / rate : undefined;
  return [
    `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${ended} of ${total}`,
    `${done} done`,
    `${ended - done - noAnswer} failed`,
    `${noAnswer} no answer`,
    `${rate.toFixed(rate < 10 ? 1 : 0)}/s`,
    ...(ended < total && left !== undefined ? [`${formatTime(left)} left`] : []),
  ].join(', ');
}

function formatTime(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
