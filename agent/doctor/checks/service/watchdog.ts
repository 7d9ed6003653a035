import { defineCheck } from '../../check.js';
import { fault, good, type Judgement, note, warning } from '../../finding.js';
import { type LogLine, UNIT, type Unit, type UnitLog } from '../../unit.js';

interface Seen {
  readonly unit: Unit;
  readonly log: UnitLog;
}

/** As systemd logs it; and where a restart has followed, nothing else still tells. */
const TRIP = /Watchdog timeout|Failed with result 'watchdog'/;
const REMEDY =
  'Most often a handler written in JavaScript loops without end: `journalctl -u supersim-agent` tells which command ran. If not, report it with `supersim-agent doctor --bundle FILE`.';

/** Whether systemd starts a wedged agent again, and whether it had to. */
export const watchdog = defineCheck<Seen>({
  name: 'watchdog',
  look: async (context) => ({ unit: await context.unit(), log: await context.unitLog() }),
  judge: judgeWatchdog,
});

export function judgeWatchdog({ unit: { properties, failed }, log }: Seen): Judgement[] {
  const looked = `WatchdogUSec of ${UNIT}, and its log of the last day`;
  if (properties === undefined) return [note(looked, `systemd cannot be asked: ${failed}`)];
  if (properties.LoadState !== 'loaded') return [note(looked, 'the service is not installed')];
  const { WatchdogUSec: interval = 'infinity', Result: result } = properties;
  const trip = log.lines.findLast(({ text }) => TRIP.test(text));
  if (result === 'watchdog') return [fault(looked, 'the agent was wedged, and the watchdog has ended it', REMEDY)];
  if (trip !== undefined)
    return [warning(looked, `the agent was wedged at ${timeOf(trip)}, and was started again`, REMEDY)];
  if (['infinity', '0', ''].includes(interval)) {
    const remedy = 'Use the unit as it is shipped, or set `WatchdogSec=30s` in it.';
    return [warning(looked, 'there is none: an agent that is wedged stays so', remedy)];
  }
  return [good(looked, `every ${interval}; it did not have to act`)];
}

const timeOf = ({ at }: LogLine): string => new Date(at).toISOString();
