import type { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import * as z from 'zod';
import { messageOf, SupersimError } from '../../shared/errors.js';
import type { IpCommandClient } from '../api/client.js';

/** Longest row, in characters. */
const MAX_ROW = 65_536;
const MAX_SIM_LENGTH = 100;
/** Names of the column of SIMs in a header row. */
const HEADING = /^(?:sim|sid|sim_?sid|unique_?name|sim_?unique_?name)$/i;

const rowSchema = z.array(z.string());

/**
 * Reads the SIMs of a CSV file (RFC 4180, or with semicolons or tabs): from the column with a header such as `sim`, or
 * from the first. Empty lines and lines that start with # are skipped.
 *
 * @throws SupersimError `bad-input`
 */
export async function* readSims(input: Readable): AsyncGenerator<string, void, undefined> {
  const parser = parse({
    bom: true,
    delimiter: [',', ';', '\t'],
    comment: '#',
    comment_no_infix: true,
    relax_column_count: true,
    trim: true,
    max_record_size: MAX_ROW,
  });
  // `pipe` does not forward errors.
  input.on('error', (error) => parser.destroy(error));
  let column: number | undefined;
  let number = 0;
  try {
    for await (const row of input.pipe(parser)) {
      number++;
      const cells = rowSchema.parse(row);
      if (column === undefined) {
        const found = cells.findIndex((cell) => HEADING.test(cell));
        column = Math.max(found, 0);
        if (found !== -1) continue;
      }
      const sim = cells[column] ?? '';
      if (sim === '') continue;
      yield checkSim(sim, number);
    }
  } catch (error) {
    if (error instanceof SupersimError) throw error;
    throw new SupersimError('bad-input', `cannot read the SIMs: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
  }
}

/** Yields the SIDs of a Fleet's SIMs. @param signal ends the reading */
export async function* readFleet(
  client: Pick<IpCommandClient, 'sims'>,
  fleet: string,
  signal?: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  for await (const { sid } of client.sims(fleet, signal)) yield sid;
}

function checkSim(sim: string, row: number): string {
  if (sim.length <= MAX_SIM_LENGTH && sim.isWellFormed() && !/\p{Cc}/u.test(sim)) return sim;
  throw new SupersimError('bad-input', `row ${row} of the SIMs: not a SID or unique name`);
}
