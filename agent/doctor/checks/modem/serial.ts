import type { Stats } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { systemCodeOf } from '../../../../shared/errors.js';
import { type FileHolder, formatHolder } from '../../../base/file-holders.js';
import { findPorts } from '../../../transport/modem/port/find-ports.js';
import { holdersInTheWay, isAgent, isModemManager } from '../../../transport/modem/port/port-holders.js';
import { defineCheck } from '../../check.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { canAccess, formatOwner, groupName, type Identity } from '../../identity.js';

interface Observation {
  /** `modem.path`. */
  readonly path: string | undefined;
  /** The device that the path resolves to. */
  readonly device: string;
  /** Of the device, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode'> | string;
  readonly isSerial: boolean;
  readonly agent: Identity;
  readonly isPermitted: boolean | undefined;
  readonly holders: readonly FileHolder[];
  /** Process of the running agent. */
  readonly pid: number | undefined;
  /** The kernel's command line. */
  readonly kernel: string;
  /** Serial ports found on this machine. */
  readonly others: readonly string[];
}

const LOGIN = /^(?:a?getty|login)$/;

/** Checks whether the modem's serial port exists, is permitted to the agent and unused by others. Does not open it. */
export const serial = defineCheck<Observation>({
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
      isPermitted: isSerial ? await canAccess(place, agent, 'write') : undefined,
      holders: isSerial ? await holdersInTheWay(place) : [],
      pid: running instanceof Error ? undefined : running.pid,
      kernel: await readFile('/proc/cmdline', 'utf8').catch(() => ''),
      others: path === undefined ? [] : (await findPorts()).flat(),
    };
  },
  judge: judgeSerial,
});

/** Judges by the driver: opening the port could disturb the modem. */
async function isTty(device: number): Promise<boolean> {
  const drivers = await readFile('/proc/tty/drivers', 'utf8').catch(() => undefined);
  // `name /dev/name MAJOR MINORS type`
  const majors = drivers?.split('\n').map((line) => Number(line.trim().split(/\s+/)[2]));
  return majors?.includes((device >> 8) & 0xfff) ?? true;
}

export function judgeSerial(observed: Observation): Judgement[] {
  const { path, device, status, isSerial, others } = observed;
  if (path === undefined) return [note('modem.path', 'no serial port configured: the agent drives no modem')];
  const looked = `serial port ${path}${device === path ? '' : ` (${device})`}`;
  if (typeof status === 'string' || !isSerial) {
    const found = status === 'EACCES' ? 'this user may not inspect it' : whyUnusable(status);
    if (status === 'EACCES') return [note(looked, found, 'Run it with sudo.')];
    const remedy = `Serial ports found: ${others.join(', ') || 'none'}. Check cable, power and \`lsusb\`; \`sudo supersim-agent modem probe\` finds the right one.`;
    return [failure(looked, found, remedy, 'modem-port-missing')];
  }
  const whole = `${looked} (${formatOwner(status)})`;
  const judgements = [
    ...judgePermission(whole, observed, status),
    ...judgeConsole(whole, observed),
    ...judgeHolders(whole, observed),
  ];
  return judgements.length > 0 ? judgements : [good(whole, 'exists, is permitted to the agent, and free')];
}

const whyUnusable = (status: Observation['status']): string =>
  typeof status === 'string' ? `does not exist (${status})` : 'not a serial port';

function judgePermission(
  looked: string,
  { agent, isPermitted }: Observation,
  { gid }: { readonly gid: number },
): Judgement[] {
  if (isPermitted !== false) return [];
  const remedy = `Run \`sudo usermod -a -G ${groupName(gid)} ${agent.name}\`, then restart the agent.`;
  return [failure(looked, `the agent’s user ${agent.name} may not open it`, remedy, 'modem-port-forbidden')];
}

/** A console on the port writes kernel messages or a login prompt to the modem. */
function judgeConsole(looked: string, { device, kernel }: Observation): Judgement[] {
  const name = basename(device);
  const consoles = [...kernel.matchAll(/(?:^|\s)console=([^\s,]+)/g)].map(([, console]) => console);
  // The firmware of a Raspberry Pi replaces serial0 by the device.
  if (!consoles.includes(name) && !(consoles.includes('serial0') && /^tty(?:AMA0|S0)$/.test(name))) return [];
  const remedy = `Run \`sudo raspi-config nonint do_serial_cons 1\`, or remove \`console=${name}\` from /boot/firmware/cmdline.txt; then reboot.`;
  return [warning(looked, 'the kernel uses it as a console (/proc/cmdline)', remedy, 'modem-port-busy')];
}

function judgeHolders(looked: string, { device, holders, pid }: Observation): Judgement[] {
  const others = holders.filter((holder) => holder.pid !== pid && !isAgent(holder));
  if (others.length === 0) return [];
  const found = `in use by ${others.map(formatHolder).join(', ')}`;
  return [failure(looked, found, remedyFor(others, basename(device)), 'modem-port-busy')];
}

function remedyFor(holders: readonly FileHolder[], name: string): string {
  if (holders.some(isModemManager)) {
    return 'Install the udev rule 78-supersim-modem.rules, which makes ModemManager ignore this port, or run `sudo systemctl disable --now ModemManager`.';
  }
  if (holders.some(({ command }) => LOGIN.test(command))) {
    return `Run \`sudo systemctl disable --now serial-getty@${name}.service\`, and \`sudo raspi-config nonint do_serial_cons 1\`.`;
  }
  const [{ service, pid } = { service: undefined, pid: 0 }] = holders;
  return service === undefined ? `Stop it: \`sudo kill ${pid}\`.` : `Run \`sudo systemctl disable --now ${service}\`.`;
}
