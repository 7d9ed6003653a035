import type { Outcome } from '../../../shared/outcome.js';
import type { BroadcastState } from '../../broadcast/store/state.js';
import type { CliIo } from '../io.js';

const BAR_WIDTH = 20;
/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const TERMINAL_INTERVAL = 250;
const LINE_INTERVAL = 10_000;
const CLEAR_LINE = '\r\u001b[K';

export type Counts = Record<Outcome, number>;
/** How many SIMs there are, so far where it is not the whole. */
export type Total = Pick<BroadcastState, 'total' | 'isWhole'>;

/**
 * Shows the progress of a broadcast until `end`: on a terminal as a line that is redrawn, elsewhere as a line every ten
 * seconds.
 */
export function createProgress(counts: Readonly<Counts>, sims: Total, stderr: CliIo['stderr']) {
  const startedAt = performance.now();
  const before = endedOf(counts);
  const terminal = stderr.isTTY === true;

  function draw(): void {
    const seconds = Math.max(0.001, (performance.now() - startedAt) / 1000);
    const line = formatProgress(counts, sims, (endedOf(counts) - before) / seconds);
    stderr.write(terminal ? `${CLEAR_LINE}${line}` : `${line}\n`);
  }

  const timer = setInterval(draw, terminal ? TERMINAL_INTERVAL : LINE_INTERVAL);
  timer.unref();
  if (terminal) draw();

  return {
    /** Clears the line, so that another can be printed on the terminal. */
    hide() {
      if (terminal) stderr.write(CLEAR_LINE);
    },
    /** Draws the final state, and ends the line. */
    end() {
      clearInterval(timer);
      draw();
      if (terminal) stderr.write('\n');
    },
  };
}

const endedOf = (counts: Readonly<Counts>) => Object.values(counts).reduce((sum, count) => sum + count, 0);

/** @param rate SIMs a second since the start */
export function formatProgress(counts: Readonly<Counts>, { total, isWhole }: Total, rate: number): string {
  const ended = endedOf(counts);
  const share = total === 0 ? 1 : ended / total;
  const filled = Math.floor(share * BAR_WIDTH);
  const { done, 'no-answer': noAnswer } = counts;
  const left = rate > 0 && isWhole ? (total - ended) / rate : undefined;
  return [
    `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${ended} of ${total}${isWhole ? '' : ' so far'}`,
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
