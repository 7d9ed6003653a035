import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { formatError } from '../../../shared/cli.js';
import { isSupersimError } from '../../../shared/errors.js';
import { controlClient } from '../../service/control/client.js';
import { printModemLog } from '../../service/control/modem-log.js';
import { defaultControlSocket } from '../../service/control/schema.js';
import { controlOptions } from '../control-output.js';

const EXIT_ERROR = 1;
const EXIT_USAGE = 2;

const flags = z.object({
  socket: z.string().min(1).optional(),
  follow: z.boolean().default(false),
  payloads: z.boolean().default(false),
});

/** `supersim-agent modem log`. */
export const logCommand: CommandModule = {
  command: 'log',
  describe:
    'Print the latest modem traffic of the running agent, as JSON lines { "t": ms, "dir": "tx" | "rx", "hex": "…" }. ' +
    'Payload bytes are replaced by 46 and digits of a PIN by 2a; `modem replay` can still read it',
  builder: (yargs) =>
    yargs.options({
      socket: controlOptions.socket,
      follow: {
        type: 'boolean',
        describe: 'Keep printing new traffic, also after a restart of the agent, until interrupted',
      },
      payloads: { type: 'boolean', describe: 'Show payloads' },
    }),
  async handler(argv) {
    try {
      const { socket, follow, payloads } = checkInput(flags, argv, 'the arguments');
      const ask = controlClient(socket ?? defaultControlSocket(process.env));
      await printModemLog(ask, (line) => process.stdout.write(line), {
        follow,
        payloads,
        notify: (text) => process.stderr.write(`${text}\n`),
      });
    } catch (error) {
      process.stderr.write(formatError(error));
      process.exitCode = isSupersimError(error, 'bad-input') ? EXIT_USAGE : EXIT_ERROR;
    }
  },
};
