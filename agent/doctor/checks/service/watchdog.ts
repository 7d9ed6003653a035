import { defineCheck } from '../../check.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { type LogLine, UNIT, type Unit, type UnitLog } from '../../systemd-unit.js';

interface Observation {
  readonly unit: Unit;
  readonly log: UnitLog;
}

/** How systemd logs it; after a restart the log is the only trace. */
const TRIP = /Watchdog timeout|Failed with result 'watchdog'/;
const REMEDY =
  'Usually a JavaScript handler blocks the event loop: `journalctl -u supersim-agent` shows which command ran. If not, report it with `supersim-agent doctor --bundle FILE`.';

/** Checks whether systemd restarts an agent that hangs, and whether it had to. */
export const watchdog = defineCheck<Observation>({
  name: 'watchdog',
  look: async (context) => ({ unit: await context.unit(), log: await context.unitLog() }),
  judge: judgeWatchdog,
});

export function judgeWatchdog({ unit: { properties, failed }, log }: Observation): Judgement[] {
  const looked = `WatchdogUSec of ${UNIT}, and its log of the last 24 hours`;
  if (properties === undefined) return [note(looked, `systemctl failed: ${failed}`)];
  if (properties.LoadState !== 'loaded') return [note(looked, 'the service is not installed')];
  const { WatchdogUSec: interval = 'infinity', Result: result } = properties;
  const trip = log.lines.findLast(({ text }) => TRIP.test(text));
  if (result === 'watchdog') return [failure(looked, 'the agent hung, and the watchdog killed it', REMEDY)];
  if (trip !== undefined) return [warning(looked, `the agent hung at ${timeOf(trip)} and was restarted`, REMEDY)];
  if (['infinity', '0', ''].includes(interval)) {
    const remedy = 'Use the unit of the package, or set `WatchdogSec=30s` in yours.';
    return [warning(looked, 'no watchdog: an agent that hangs is not restarted', remedy)];
  }
  return [good(looked, `every ${interval}; not triggered`)];
}

const timeOf = ({ at }: LogLine): string => new Date(at).toISOString();
