import { printable } from '../../../shared/cli.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import type { CliIo } from '../io.js';
import { showPayload } from './payload.js';

/** Fewest characters of a payload that are shown on a narrow terminal. */
const LEAST_PAYLOAD = 24;

interface Column {
  readonly head: string;
  /** The longest value: rows are printed as they arrive, so widths cannot depend on all of them. */
  readonly width: number;
  readonly value: (command: IpCommand) => string;
}

const COLUMNS: readonly Column[] = [
  { head: 'CREATED', width: 20, value: ({ date_created }) => date_created },
  { head: 'SID', width: 34, value: ({ sid }) => sid },
  { head: 'SIM', width: 34, value: ({ sim_sid }) => sim_sid },
  { head: 'DIRECTION', width: 9, value: ({ direction }) => direction },
  { head: 'STATUS', width: 8, value: ({ status }) => status },
  { head: 'PORT', width: 5, value: ({ device_port }) => String(device_port) },
];

const PAYLOAD_START = COLUMNS.reduce((sum, { width }) => sum + width + 2, 0);

const joinCells = (cell: (column: Column) => string, last: string) =>
  [...COLUMNS.map((column) => cell(column).padEnd(column.width)), last].join('  ');

/** Returns the header row. */
export const tableHead = (): string => joinCells(({ head }) => head, 'PAYLOAD');

/** Formats an IP Command as a row of aligned columns, its payload last. */
export const tableRow = (command: IpCommand): string => openedRow(command, showPayload(command));

/** Formats it with what is known of its payload, which must be safe for a terminal. */
export const openedRow = (command: IpCommand, payload: string): string =>
  joinCells(({ value }) => value(command), payload);

/** Cuts a row to the terminal's width; a pipe gets it whole. */
export function fitRow(row: string, { isTTY, columns }: Pick<CliIo['stdout'], 'isTTY' | 'columns'>): string {
  if (isTTY !== true || columns === undefined) return row;
  const width = Math.max(columns, PAYLOAD_START + LEAST_PAYLOAD);
  const characters = [...row];
  return characters.length <= width ? row : `${characters.slice(0, width - 1).join('')}…`;
}

/** Formats an IP Command as a line for each member. */
export function details(command: IpCommand): string {
  const lines: readonly (readonly [string, string])[] = [
    ['sid', command.sid],
    ['sim', command.sim_sid],
    ['iccid', command.sim_iccid ?? '-'],
    ['direction', command.direction],
    ['status', command.status],
    ['device', `${command.device_ip ?? '-'} port ${command.device_port}`],
    ['created', command.date_created],
    ['updated', command.date_updated],
    ['type', command.payload_type],
    ['payload', showPayload(command)],
  ];
  return lines.map(([name, value]) => `${name.padEnd(9)}  ${printable(value)}`).join('\n');
}

/** Formats an IP Command as a line of JSON, as the API returned it; safe for a terminal. */
export const jsonLine = (command: IpCommand): string => printable(JSON.stringify(command));
