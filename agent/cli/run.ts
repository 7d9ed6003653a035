import type { CommandModule } from 'yargs';
import { messageOf } from '../../shared/errors.js';
import { type Agent, createAgent } from '../agent.js';
import { type ControlSocket, createControlSocket } from '../service/control.js';
import { defaultControlSocket } from '../service/control-schema.js';
import { createLogger, type ProcessLog } from './logger.js';
import { configFromFlags, type RunFlags, runOptions } from './options.js';

export const runCommand: CommandModule<unknown, RunFlags> = {
  command: 'run',
  describe: 'Run the agent',
  builder: (yargs) => yargs.options(runOptions),
  handler: runAgent,
};

/** Starts the agent of this process, which ends with a signal. */
export async function runAgent(flags: RunFlags): Promise<void> {
  const config = configFromFlags(flags);
  const processLog = await createLogger(config.log.level);
  const agent = createAgent({ config, log: processLog.log });
  const control = createControlSocket({
    path: config.control.socket ?? defaultControlSocket(process.env),
    target: { status: agent.status, commands: undefined },
    log: processLog.log,
  });
  guardProcess(agent, control, processLog);
  await agent.start();
  // Several agents of a developer's would be in each other's way.
  if (flags.dev === true && config.control.socket === undefined) return;
  await control.start().catch((error: unknown) => {
    processLog.log.warn({ error: messageOf(error) }, 'no control socket: status will not work');
  });
}

/** Ends the agent in order on SIGTERM and SIGINT, and makes sure that what it logged last is read. */
function guardProcess(agent: Agent, control: ControlSocket, { log, flush, flushSync }: ProcessLog): void {
  process.once('exit', flushSync);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      // The second time at once.
      process.once(signal, () => process.exit(1));
      log.info({ signal }, 'stopping');
      Promise.all([agent.stop(), control.stop()])
        .then(
          () => 0,
          (error: unknown) => {
            log.fatal({ error: messageOf(error) }, 'the stop failed');
            return 1;
          },
        )
        .then((code) => flush().then(() => process.exit(code)));
    });
  }
  // A promise that a handler's author forgot about must not take the other commands down with it.
  process.on('unhandledRejection', (reason) =>
    log.error({ error: messageOf(reason) }, 'a handler left a rejected promise behind'),
  );
  process.on('uncaughtException', (error) => {
    log.fatal({ error: messageOf(error), stack: error.stack }, 'uncaught exception');
    process.exit(1);
  });
}
