import { printable } from '../shared/cli.js';
import { payloadBytes } from '../shared/ip-command.js';
import { DEVICE_PORT } from '../shared/limits.js';
import { formatApiFaults } from './api/faults.js';
import type { CommandEvent } from './command-delivery.js';
import { API_FAULT_COUNTERS, type Counters, FAULT_COUNTERS, type LoopbackEvent } from './events.js';
import type { Loopback } from './loopback.js';
import { describeModemEvent } from './modem/events.js';
import { formatModemFaults } from './modem/faults/faults.js';
import type { LoopbackModem } from './modem/status.js';
import { type CoapSummary, describeCoap } from './network/coap-summary.js';
import type { DatagramDropCause, FaultEvent } from './network/events.js';
import { formatFaults } from './network/faults/settings.js';

const MAX_SIMS_SHOWN = 20;
const MAX_CHARACTERS_SHOWN = 48;

/**
 * Returns the lines that a user of a running loopback needs: the API's URL, the credentials, the gateway, the SIMs, and a
 * `curl` line that can be pasted. They contain the auth token.
 */
export function formatBanner(loopback: Loopback, devicePort = DEVICE_PORT): string {
  const { url, accountSid, authToken, gateway, sims, faults: status, modem } = loopback;
  const shown = sims.slice(0, MAX_SIMS_SHOWN);
  const more = sims.length - shown.length;
  const [first] = shown;
  const { faults, seed } = status();
  const apiFaults = formatApiFaults(loopback.apiFaults().faults);
  const lines = [
    `API        ${url}`,
    `KORE       SUPERSIM_CLIENT_ID=${loopback.clientId} SUPERSIM_CLIENT_SECRET=${loopback.clientSecret}`,
    `Twilio     SUPERSIM_ACCOUNT_SID=${accountSid} SUPERSIM_AUTH_TOKEN=${authToken}`,
    `webhooks   ${loopback.webhooks === 'kore' ? `KORE’s, SUPERSIM_WEBHOOK_SECRET=${loopback.webhookSecret}` : 'Twilio’s'}`,
    `gateway    ${gateway.address}:${gateway.port} (UDP; devices send here)`,
    ...shown.map(
      (sim) =>
        `SIM        ${sim.uniqueName} at ${sim.address}, ${sim.fleetName}${sim.state === 'active' ? '' : `, ${sim.state}`} (${sim.sid})`,
    ),
    ...(more > 0 ? [`           and ${more} more`] : []),
    ...(modem === undefined ? [] : modemLines(modem)),
    `faults     ${formatFaults(faults)} (seed ${seed})`,
    ...(apiFaults === 'none' ? [] : [`           of the API: ${apiFaults}`]),
    ...(first
      ? ['', 'Send a command:', `  ${curlLine({ url, accountSid, authToken }, first.uniqueName, devicePort)}`]
      : []),
  ];
  return lines.map(printable).join('\n');
}

function modemLines(modem: LoopbackModem): string[] {
  const { faults, seed } = modem.faults();
  const path = modem.link === undefined ? modem.path : `${modem.link} (now ${modem.path})`;
  return [
    `modem      ${modem.dialect} at ${path}, with the SIM ${modem.simName}`,
    `           faults ${formatModemFaults(faults)} (seed ${seed})`,
  ];
}

/** Returns a command line that posts a text command `ping` to a SIM. */
export function curlLine(
  { url, accountSid, authToken }: Pick<Loopback, 'url' | 'accountSid' | 'authToken'>,
  simName: string,
  devicePort = DEVICE_PORT,
): string {
  const user = shellQuote(`${accountSid}:${authToken}`);
  const sim = shellQuote(`Sim=${simName}`);
  return `curl ${url}/v1/IpCommands -u ${user} --data-urlencode ${sim} -d DevicePort=${devicePort} -d Payload=ping`;
}

/** Quotes for a POSIX shell, where only the single quote is special between single quotes. */
function shellQuote(text: string): string {
  return /^[\w:=.@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const DROPPED: Readonly<Record<DatagramDropCause, string>> = {
  'unknown-source': 'dropped: no SIM has this address',
  'to-source-port':
    'dropped: sent to the source port of commands, not to the gateway; assumed, see --assume replyToSource',
  inactive: 'dropped: the SIM is inactive',
  detached: 'dropped: the SIM is detached',
  'too-many-in-flight': 'dropped: too many datagrams in flight',
};

/** Formats an event as one line without a line end and without control characters. */
export const formatEvent = (event: LoopbackEvent): string => printable(describe(event));

function describe(event: LoopbackEvent): string {
  switch (event.type) {
    case 'command':
      return formatCommand(event);
    case 'dropped':
      return `datagram ${event.address}:${event.port} ${formatSize(event)} ${DROPPED[event.cause]}`;
    case 'webhook': {
      const { webhook, attempts, ...result } = event.result;
      const outcome = result.ok ? `HTTP ${result.status}` : `failed, ${result.errorCode}: ${result.reason}`;
      const tries = attempts === 1 ? '' : ` (${attempts} attempts)`;
      return `webhook ${webhook.commandSid} ${webhook.method} ${webhook.url} ${outcome}${tries}`;
    }
    case 'fault':
      return formatFault(event);
    case 'faults':
      return `faults ${event.faults} (seed ${event.seed})`;
    case 'api-fault':
      return `fault API ${event.request} ${event.method} ${event.path} ${API_DAMAGE[event.fault]}`;
    case 'api-faults':
      return `API faults ${event.faults} (seed ${event.seed})`;
    case 'modem':
      return `modem ${describeModemEvent(event.event)}`;
    case 'token':
      return 'token issued';
    case 'sim':
      return `SIM ${event.simName} is ${event.state}`;
    case 'error':
      return `error ${event.message}`;
  }
}

const API_DAMAGE = {
  busy: 'answered 429',
  unavailable: 'answered 503',
  answerLoss: 'processed, response lost',
} as const;

function formatFault(event: FaultEvent): string {
  const arrow = event.way === 'down' ? '→' : '←';
  return `fault ${event.way} ${event.packet} ${arrow} ${event.simName} ${formatSize(event)} ${damage(event)}`;
}

/** Formats the size of a datagram, and what can be seen of it in CoAP. */
const formatSize = ({ bytes, coap }: { readonly bytes: number; readonly coap?: CoapSummary }): string =>
  `${bytes} bytes${coap === undefined ? '' : ` ${describeCoap(coap)}`}`;

function damage(event: FaultEvent): string {
  if (event.fault === 'truncate') return `truncated to ${event.keptBytes}`;
  const past = FAULT_COUNTERS[event.fault];
  return 'delayMs' in event ? `${past} ${event.delayMs.toFixed(0)} ms` : past;
}

/** Formats how many packets and requests each fault has hit since the start; undefined when none has hit any. */
export function formatFaultCounts(counters: Readonly<Counters>): string | undefined {
  const names = [...Object.values(FAULT_COUNTERS), ...Object.values(API_FAULT_COUNTERS)];
  const hit = names.filter((name) => counters[name] > 0);
  return hit.length === 0 ? undefined : hit.map((name) => `${counters[name]} ${name}`).join(', ');
}

function formatCommand({ command, simName, coap, errorCode, cutBytes }: CommandEvent): string {
  const arrow = command.direction === 'to_sim' ? '→' : '←';
  const bytes = payloadBytes(command);
  const code = errorCode === undefined ? '' : ` (${errorCode})`;
  const cut = cutBytes === undefined ? '' : `; ${cutBytes} bytes over the limit were cut`;
  // What is protected cannot be read.
  const head = coap?.oscore === undefined ? ` ${preview(bytes)}` : '';
  const payload = `${formatSize({ bytes: bytes.length, ...(coap && { coap }) })}${head}${cut}`;
  return `command ${command.sid} ${arrow} ${simName}:${command.device_port} ${command.status}${code} ${payload}`;
}

/** Formats the beginning of a payload: as quoted text if all of it is printable, else as hexadecimal. */
function preview(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  const isPrintable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(text) && !text.includes('\u{fffd}');
  const characters = isPrintable ? [...text] : [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
  const head = characters.slice(0, MAX_CHARACTERS_SHOWN).join('');
  const mark = characters.length > MAX_CHARACTERS_SHOWN ? '…' : '';
  return `${isPrintable ? JSON.stringify(head) : head}${mark}`;
}
