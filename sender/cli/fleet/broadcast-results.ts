import { stringify } from 'csv-stringify/sync';
import { printable } from '../../../shared/cli.js';
import { toJson } from '../../../shared/format/value.js';
import type { BroadcastResult } from '../../broadcast/memory.js';
import { columnsOf, type SimRow } from '../../broadcast/store/state.js';
import { type CliIo, print } from '../io.js';

/** The columns that are printed of each SIM. */
const COLUMNS = ['sim', 'outcome', 'code', 'vendor_code', 'message', 'result', 'attempts', 'authentic'] as const;

type Row = Pick<SimRow, (typeof COLUMNS)[number]>;

/** Creates a printer of results: CSV (RFC 4180) with a header row and results in JSON, or one JSON object a line. */
export function createResultPrinter(json: boolean, stdout: CliIo['stdout']) {
  let headed = json;

  async function row(given: Row): Promise<void> {
    if (!headed) await print(stdout, COLUMNS.join(','));
    headed = true;
    await print(stdout, json ? jsonLine(given) : csvLine(given));
  }

  return {
    row,
    result: (result: BroadcastResult) =>
      row({
        sim: result.sim,
        attempts: result.attempts,
        authentic: Number(result.authentic),
        ...columnsOf(result),
      }),
  };
}

function csvLine({ message, authentic, ...row }: Row): string {
  const cells = { ...row, message: message?.replace(FORMULA, "'$&") ?? null, authentic: flagOf(authentic) };
  return stringify([COLUMNS.map((column) => cells[column])], { eof: false });
}

const flagOf = (value: number | null): string | null => (value === null ? null : String(value === 1));

/** Text that a spreadsheet would take for a formula; of the columns, only the message is written by others. */
const FORMULA = /^[=+\-@\t\r]/;

function jsonLine({ result, authentic, ...row }: Row): string {
  const flags = { authentic: authentic === null ? null : authentic === 1 };
  const cells = { ...row, ...flags };
  const members = Object.fromEntries(COLUMNS.flatMap((name) => (name === 'result' ? [] : [[name, cells[name]]])));
  const parsed: unknown = result === null ? undefined : JSON.parse(result);
  return printable(toJson({ ...members, ...(parsed !== undefined && { result: parsed }) }));
}
