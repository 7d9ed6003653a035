import { closest } from 'fastest-levenshtein';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { ERRORS, type ErrorCode, SupersimError } from '../../shared/errors.js';
import { VENDOR_CODE_MEANINGS } from '../api/vendor-codes.js';
import { ERROR_CODES, isErrorCode, wireOf } from '../request/result.js';
import { type CliIo, print, processIo } from './io.js';

const argsSchema = z.object({ code: z.string() });

export const explainCommand: CommandModule<object, object> = {
  command: 'explain <code>',
  describe: 'Explain an error code',
  builder: (yargs) =>
    yargs
      .positional('code', {
        type: 'string',
        demandOption: true,
        describe: 'A code such as handler-failed, or a number of the vendor’s',
      })
      .parserConfiguration({ 'parse-positional-numbers': false }),
  handler: (argv) => explain(argv, processIo()),
};

/**
 * `supersim explain`.
 *
 * @throws SupersimError `bad-input` for an unknown code, with the nearest one
 */
export async function explain(argv: unknown, { stdout }: Pick<CliIo, 'stdout'>): Promise<void> {
  const { code } = checkInput(argsSchema, argv, 'the arguments');
  const vendor = VENDOR_CODE_MEANINGS.get(Number(code));
  if (isErrorCode(code)) await print(stdout, describe(code));
  else if (vendor !== undefined) await print(stdout, `${code} (the vendor’s)\n${vendor}`);
  else {
    const nearest = closest(code, [...ERROR_CODES, ...[...VENDOR_CODE_MEANINGS.keys()].map(String)]);
    throw new SupersimError('bad-input', `unknown code ${JSON.stringify(code)}; did you mean ${nearest}?`);
  }
}

function describe(code: ErrorCode): string {
  const { meaning, remedy } = ERRORS[code];
  const wire = wireOf(code);
  const forms =
    wire === undefined ? [] : [`outcome   ${wire.outcome}`, `CoAP      ${wire.coap}`, `JSON-RPC  ${wire.jsonRpc}`];
  return [code, meaning, ...forms, remedy].join('\n');
}
