/** `supersim broadcast` with all times of the protocol multiplied by the variable TIME_SCALE. */
import yargs from 'yargs';
import { runCli } from '../../bin/run-cli.js';
import { reportError } from '../../sender/cli/exit.js';
import { broadcastCommand, runBroadcastCli } from '../../sender/cli/fleet/broadcast.js';
import { processIo } from '../../sender/cli/io.js';
import { untilInterrupted } from '../../sender/cli/until-interrupted.js';

const timeScale = Number(process.env['TIME_SCALE']);

const handler = (argv: object) =>
  untilInterrupted(async (signal) => {
    process.exitCode = await runBroadcastCli(argv, processIo(), signal, { timeScale });
  });

await runCli(yargs(process.argv.slice(2)).command({ ...broadcastCommand, handler }), reportError);
