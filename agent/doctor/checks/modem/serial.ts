import type { Stats } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { systemCodeOf } from '../../../../shared/errors.js';
import { findPorts } from '../../../transport/modem/port/find-ports.js';
import {
  formatHolder,
  holdersInTheWay,
  isAgent,
  isModemManager,
  type PortHolder,
} from '../../../transport/modem/port/port-holders.js';
import { defineCheck } from '../../check.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { formatOwner, groupName, type Identity, mayUse } from '../../identity.js';

interface Seen {
  /** `modem.path`. */
  readonly path: string | undefined;
  /** The device that it leads to. */
  readonly device: string;
  /** Of the device, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode'> | string;
  readonly isSerial: boolean;
  readonly agent: Identity;
  readonly isPermitted: boolean | undefined;
  readonly holders: readonly PortHolder[];
  /** Process of the agent that runs. */
  readonly pid: number | undefined;
  /** The kernel's command line. */
  readonly kernel: string;
  /** Ports that there are. */
  readonly others: readonly string[];
}

const LOGIN = /^(?:a?getty|login)$/;

/** Whether the modem's serial port is there, the agent's to open, and nobody else's. It is not opened. */
export const serial = defineCheck<Seen>({
  name: 'serial',
  async look(context) {
    const { path } = context.config.modem;
    const place = path ?? '';
    const status = await stat(place).catch((error: unknown) => systemCodeOf(error) ?? 'unknown');
    const isSerial = typeof status !== 'string' && status.isCharacterDevice() && (await isTty(status.rdev));
    const agent = await context.agent();
    const running = await context.status();
    return {
      path,
      device: await realpath(place).catch(() => place),
      status,
      isSerial,
      agent,
      isPermitted: isSerial ? await mayUse(place, agent, 'write') : undefined,
      holders: isSerial ? await holdersInTheWay(place) : [],
      pid: running instanceof Error ? undefined : running.pid,
      kernel: await readFile('/proc/cmdline', 'utf8').catch(() => ''),
      others: path === undefined ? [] : (await findPorts()).flat(),
    };
  },
  judge: judgeSerial,
});

/** By its driver: to open it could disturb the modem. */
async function isTty(device: number): Promise<boolean> {
  const drivers = await readFile('/proc/tty/drivers', 'utf8').catch(() => undefined);
  // `name /dev/name MAJOR MINORS type`
  const majors = drivers?.split('\n').map((line) => Number(line.trim().split(/\s+/)[2]));
  return majors?.includes((device >> 8) & 0xfff) ?? true;
}

export function judgeSerial(seen: Seen): Judgement[] {
  const { path, device, status, isSerial, others } = seen;
  if (path === undefined) return [note('modem.path', 'no serial port is configured: the agent uses no modem itself')];
  const looked = `serial port ${path}${device === path ? '' : ` (${device})`}`;
  if (typeof status === 'string' || !isSerial) {
    const found = status === 'EACCES' ? 'this user may not look at it' : isAbsent(status);
    if (status === 'EACCES') return [note(looked, found, 'Run it with sudo.')];
    const remedy = `There are: ${others.join(', ') || 'none'}. Check cable and power, and \`lsusb\`; \`sudo supersim-agent modem probe\` finds the right one.`;
    return [failure(looked, found, 'modem-port-missing', remedy)];
  }
  const whole = `${looked} (${formatOwner(status)})`;
  const judgements = [
    ...judgePermission(whole, seen, status),
    ...judgeConsole(whole, seen),
    ...judgeHolders(whole, seen),
  ];
  return judgements.length > 0 ? judgements : [good(whole, 'it is there, permitted, and free for the agent')];
}

const isAbsent = (status: Seen['status']): string =>
  typeof status === 'string' ? `it is not there (${status})` : 'it is no serial port';

function judgePermission(looked: string, { agent, isPermitted }: Seen, { gid }: { readonly gid: number }): Judgement[] {
  if (isPermitted !== false) return [];
  const remedy = `Run \`sudo usermod -a -G ${groupName(gid)} ${agent.name}\`, and restart the agent.`;
  return [failure(looked, `the agent’s user ${agent.name} may not open it`, 'modem-port-forbidden', remedy)];
}

/** A login console, or the kernel's own messages, are written to the modem. */
function judgeConsole(looked: string, { device, kernel }: Seen): Judgement[] {
  const name = basename(device);
  const consoles = [...kernel.matchAll(/(?:^|\s)console=([^\s,]+)/g)].map(([, console]) => console);
  // The firmware of a Raspberry Pi puts the device in serial0's place.
  if (!consoles.includes(name) && !(consoles.includes('serial0') && /^tty(?:AMA0|S0)$/.test(name))) return [];
  const remedy = `Run \`sudo raspi-config nonint do_serial_cons 1\`, or take \`console=${name}\` out of /boot/firmware/cmdline.txt, and reboot.`;
  return [warning(looked, 'the kernel has its console there (/proc/cmdline)', remedy, 'modem-port-busy')];
}

function judgeHolders(looked: string, { device, holders, pid }: Seen): Judgement[] {
  const others = holders.filter((holder) => holder.pid !== pid && !isAgent(holder));
  if (others.length === 0) return [];
  const found = `it is in use by ${others.map(formatHolder).join(', ')}`;
  return [failure(looked, found, 'modem-port-busy', remedyFor(others, basename(device)))];
}

function remedyFor(holders: readonly PortHolder[], name: string): string {
  if (holders.some(isModemManager)) {
    return 'Install the udev rule 78-supersim-modem.rules, which keeps ModemManager off this port, or run `sudo systemctl disable --now ModemManager`.';
  }
  if (holders.some(({ command }) => LOGIN.test(command))) {
    return `Run \`sudo systemctl disable --now serial-getty@${name}.service\`, and \`sudo raspi-config nonint do_serial_cons 1\`.`;
  }
  const [{ service, pid } = { service: undefined, pid: 0 }] = holders;
  return service === undefined ? `Stop it: \`sudo kill ${pid}\`.` : `Run \`sudo systemctl disable --now ${service}\`.`;
}
