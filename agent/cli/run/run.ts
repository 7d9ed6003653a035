import type { CommandModule } from 'yargs';
import { messageOf } from '../../../shared/errors.js';
import { type Agent, agentWith } from '../../agent.js';
import type { Log } from '../../base/log.js';
import { configFromFlags, type RunFlags, runOptions } from '../../config/flags.js';
import type { Config } from '../../config/schema.js';
import type { Reloaded } from '../../reload.js';
import type { ControlSocket } from '../../service/control/socket.js';
import type { ControlModem, ControlTarget } from '../../service/control/target.js';
import type { MetricsPort } from '../../service/metrics/port.js';
import { createReloader } from '../../service/reloader.js';
import type { SystemdService } from '../../service/systemd/systemd.js';
import { defaultStateFolder } from '../../storage/folder.js';
import { createLogger, type Logger, type ProcessLog } from './logger.js';
import { openMetrics, renderedMetrics } from './metrics.js';

export const runCommand: CommandModule<unknown, RunFlags> = {
  command: 'run',
  describe: 'Run the agent',
  builder: (yargs) => yargs.options(runOptions),
  handler: runAgent,
};

/** Starts the agent of this process, which ends with a signal. */
export async function runAgent(flags: RunFlags): Promise<void> {
  const read = async () => withStateFolder(await configFromFlags(flags), flags);
  const config = await read();
  const processLog = await createLogger(config.log.level);
  const { log } = processLog;
  const agent = agentWith(config, { log });
  const reload = createReloader({
    agent,
    read,
    taken: ({ log: { level } }) => {
      log.level = level;
    },
    log,
  });
  let control: Promise<ControlSocket> | undefined;
  let metrics: Promise<MetricsPort | undefined> | undefined;
  const service = await openService(agent, log);
  let stopping = false;
  const stop = async () => {
    stopping = true;
    const opened = [control, metrics];
    await Promise.all([agent.stop(), service?.stop(), ...opened.map((each) => each?.then((one) => one?.stop()))]);
  };
  guardProcess({ stop, reload }, processLog);
  await agent.start();
  // As with the state folder.
  const isWanted = flags.dev !== true || config.control.socket !== undefined;
  if (isWanted && !stopping) control = openControl(agent, reload, log);
  if (!stopping) metrics = openMetrics(agent, log);
  await Promise.all([control, metrics]);
  // Last, so that whoever waits for the service to be ready can use all of it.
  service?.start();
}

/** Several agents of a developer's would be in each other's way. */
function withStateFolder(config: Config, { dev }: RunFlags): Config {
  const folder = config.state.folder ?? (dev === true ? undefined : defaultStateFolder(process.env));
  return { ...config, state: { folder } };
}

/** Imported only now: the agent is at work, and this can wait. */
async function openControl(agent: Agent, reload: () => Promise<Reloaded>, log: Logger): Promise<ControlSocket> {
  const [{ createControlSocket }, { defaultControlSocket }, { viewedCommands }, { createEvents }] = await Promise.all([
    import('../../service/control/socket.js'),
    import('../../service/control/schema.js'),
    import('../../service/control/command-view.js'),
    import('../../service/control/events.js'),
  ]);
  const path = agent.config.control.socket ?? defaultControlSocket(process.env);
  const commands = agent.commands();
  const target: ControlTarget = {
    status: agent.status,
    commands: commands && viewedCommands(commands),
    events: createEvents(agent),
    metrics: () => renderedMetrics(agent),
    // A reload may give it another, or take it away.
    get modem() {
      return modemOf(agent);
    },
    reload,
    logLevel: {
      get: () => ({ level: log.level, configured: agent.config.log.level }),
      set(level) {
        log.warn({ from: log.level, to: level }, 'log level set');
        log.level = level;
      },
    },
  };
  const control = createControlSocket({ path, target, log });
  await control.start().catch((error: unknown) => {
    log.warn({ error: messageOf(error), path }, 'no control socket: status will not work');
  });
  return control;
}

/** Loaded only where a service manager wants to be told. */
async function openService(agent: Agent, log: Log): Promise<SystemdService | undefined> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return undefined;
  const { createSystemdService } = await import('../../service/systemd/systemd.js');
  return createSystemdService({ agent, log });
}

/** Loads nothing of modems where there is none. */
async function modemOf(agent: Agent): Promise<ControlModem | undefined> {
  const console = agent.modem();
  if (console === undefined) return undefined;
  const { viewedModem } = await import('../../service/control/modem-view.js');
  return viewedModem(agent, console);
}

interface Guarded {
  stop(): Promise<unknown>;
  reload(): Promise<unknown>;
}

/** Ends the agent in order on SIGTERM and SIGINT, reloads on SIGHUP, and makes sure that what it logged last is read. */
function guardProcess(running: Guarded, { log, flush, flushSync }: ProcessLog): void {
  process.once('exit', flushSync);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      // The second time at once.
      process.once(signal, () => process.exit(1));
      log.info({ signal }, 'stopping');
      running
        .stop()
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
  // On a terminal it means that this is gone.
  if (process.stdout.isTTY !== true) {
    process.on('SIGHUP', () => {
      log.info({ signal: 'SIGHUP' }, 'reloading');
      // What came of it is in the log.
      running.reload().catch(() => undefined);
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
