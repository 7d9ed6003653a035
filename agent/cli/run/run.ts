import type { CommandModule } from 'yargs';
import { messageOf } from '../../../shared/errors.js';
import { createManagedAgent, type ManagedAgent, type ManagedOptions } from '../../agent.js';
import type { Log } from '../../base/log.js';
import { importLater } from '../../base/shortage.js';
import { configFromFlags, type RunFlags, runOptions } from '../../config/flags.js';
import type { Config } from '../../config/schema.js';
import type { Reloaded } from '../../reload.js';
import { defaultKeyFolder } from '../../security/key-folder.js';
import type { ControlSocket } from '../../service/control/socket.js';
import type { ControlModem, ControlTarget } from '../../service/control/target.js';
import type { MetricsSource } from '../../service/metrics/metrics.js';
import type { MetricsPort } from '../../service/metrics/port.js';
import { createReloader } from '../../service/reloader.js';
import type { SystemdService } from '../../service/systemd/systemd.js';
import { defaultStateFolder } from '../../storage/folder.js';
import { createLogger, type Logger, type ProcessLog } from './logger.js';

export const runCommand: CommandModule<unknown, RunFlags> = {
  command: 'run',
  describe: 'Run the agent',
  builder: (yargs) => yargs.options(runOptions),
  handler: runAgent,
};

/** Runs the agent until a signal stops the process. */
export async function runAgent(flags: RunFlags): Promise<void> {
  const read = async () => withFolders(await configFromFlags(flags), flags);
  const config = await read();
  const processLog = await createLogger(config.log.level);
  const { log } = processLog;
  const agent = createManagedAgent(config, { log, ...ownKeys(flags) });
  const reload = createReloader({
    agent,
    read,
    onReloaded: ({ log: { level } }) => {
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
  guardProcess({ stop, reload, isHeldUp: () => agent.isHeldUp }, processLog);
  await agent.start();
  // Development agents would replace each other's default socket.
  const isWanted = flags.dev !== true || config.control.socket !== undefined;
  if (isWanted && !stopping) control = openControl(agent, reload, log);
  if (!stopping) metrics = openMetrics(agent.config.metrics.port, agent, log);
  await Promise.all([control, metrics]);
  // Last: a unit that waits for readiness can use the control socket and the metrics.
  service?.start();
}

/** Development agents have no default state folder, which they would fight over. */
function withFolders(config: Config, { dev }: RunFlags): Config {
  const folder = config.state.folder ?? (dev === true ? undefined : defaultStateFolder(process.env));
  return { ...config, state: { folder } };
}

/** A development agent does not take the keys of the device, and nobody need say that the clock is right. */
function ownKeys({ dev }: RunFlags): Pick<ManagedOptions, 'keys' | 'trustsClock'> {
  if (dev === true) return { trustsClock: true };
  // Credentials of systemd (systemd.exec(5)).
  const credentials = process.env['CREDENTIALS_DIRECTORY'];
  return { keys: { defaultFolder: defaultKeyFolder(process.env), credentials } };
}

/** Loaded once the agent has started, to start sooner. */
async function openControl(agent: ManagedAgent, reload: () => Promise<Reloaded>, log: Logger): Promise<ControlSocket> {
  const [{ createControlSocket }, { defaultControlSocket }, { createControlCommands }, { createControlEvents }] =
    await Promise.all([
      import('../../service/control/socket.js'),
      import('../../service/control/schema.js'),
      import('../../service/control/command-view.js'),
      import('../../service/control/events.js'),
    ]);
  const path = agent.config.control.socket ?? defaultControlSocket(process.env);
  const commands = agent.commands();
  const target: ControlTarget = {
    status: agent.status,
    commands: commands && createControlCommands(commands),
    events: createControlEvents(agent),
    metrics: () => renderMetrics(agent),
    // A reload may replace or remove it.
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
    log.warn({ error: messageOf(error), path }, 'control socket: not opened; `supersim-agent status` will not work');
  });
  return control;
}

/** Renders the metrics. The metrics code is loaded on the first scrape. */
const renderMetrics = async (source: MetricsSource): Promise<string> =>
  (await importLater(() => import('../../service/metrics/metrics.js'))).renderMetrics(source);

/** Serves the metrics on a port, where one is configured. */
async function openMetrics(
  port: number | undefined,
  source: MetricsSource,
  log: Log,
): Promise<MetricsPort | undefined> {
  if (port === undefined) return undefined;
  const { openMetricsPort } = await import('../../service/metrics/port.js');
  return openMetricsPort(port, () => renderMetrics(source), log).catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'metrics port: not opened');
    return undefined;
  });
}

/** Loaded only under a service manager that expects notifications. */
async function openService(agent: ManagedAgent, log: Log): Promise<SystemdService | undefined> {
  if (process.env['NOTIFY_SOCKET'] === undefined) return undefined;
  const { createSystemdService } = await import('../../service/systemd/systemd.js');
  return createSystemdService({ agent, log });
}

/** Loads the modem code only where a modem is used. */
async function modemOf(agent: ManagedAgent): Promise<ControlModem | undefined> {
  const console = agent.modem();
  if (console === undefined) return undefined;
  const { createControlModem } = await importLater(() => import('../../service/control/modem-view.js'));
  return createControlModem(agent, console);
}

/** Has a signal end the process, as if it had no handler: an exit would wait for all threads. */
function endBy(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

interface Stoppable {
  stop(): Promise<unknown>;
  reload(): Promise<unknown>;
  /** Whether the process cannot exit, as one of its threads waits for the disk. */
  isHeldUp(): boolean;
}

/** Stops the agent on SIGTERM and SIGINT, reloads on SIGHUP, and flushes the log at the end. */
function guardProcess(running: Stoppable, { log, flush, flushSync }: ProcessLog): void {
  process.once('exit', flushSync);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      // A second signal ends the process at once.
      process.once(signal, () => process.exit(1));
      log.info({ signal }, 'stopping');
      running
        .stop()
        .then(
          () => 0,
          (error: unknown) => {
            log.fatal({ error: messageOf(error) }, 'stop failed');
            return 1;
          },
        )
        .then(async (code) => {
          await flush();
          if (running.isHeldUp()) endBy(signal);
          else process.exit(code);
        });
    });
  }
  // On a terminal SIGHUP means that the terminal was closed.
  if (process.stdout.isTTY !== true) {
    process.on('SIGHUP', () => {
      log.info({ signal: 'SIGHUP' }, 'reloading');
      // The reloader has logged the error.
      running.reload().catch(() => undefined);
    });
  }
  // A forgotten promise of one handler must not end the process.
  process.on('unhandledRejection', (reason) =>
    log.error({ error: messageOf(reason) }, 'unhandled promise rejection in a handler'),
  );
  process.on('uncaughtException', (error) => {
    log.fatal({ error: messageOf(error), stack: error.stack }, 'uncaught exception');
    process.exit(1);
  });
}
