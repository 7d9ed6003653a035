import type { CommandModule } from 'yargs';
import { askText } from '../service/control/client.js';
import { socketOption, withSocket } from './control-output.js';

/** `supersim-agent metrics`. */
export const metricsCommand: CommandModule = {
  command: 'metrics',
  describe: 'Print the running agent’s metrics in Prometheus’s text format',
  builder: (yargs) => yargs.options(socketOption),
  handler: (argv) =>
    withSocket(argv, async (socket) => void process.stdout.write(await askText(socket, 'GET', '/metrics'))),
};
