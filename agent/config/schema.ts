import { hostname } from 'node:os';
import * as z from 'zod';
import { isCommandName, MAX_NAME_LENGTH } from '../../shared/command.js';
import { durationSchema } from '../../shared/duration.js';
import { CARRIER_RANGE, DEVICE_PORT, GATEWAY_ADDRESS, GATEWAY_PORT } from '../../shared/limits.js';
import { DIALECT_NAMES } from './dialect-names.js';

/** Path of supersim-agent-reboot.socket. */
export const REBOOT_SOCKET = '/run/supersim-agent-root/reboot.sock';
export const REBOOT_PROGRAM: readonly string[] = ['/usr/bin/systemctl', 'reboot'];
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const port = z.int().min(1).max(65535);
const address = z.union([z.ipv4(), z.ipv6()], 'must be an IPv4 or IPv6 address');
const range = z.union([z.cidrv4(), z.cidrv6()], 'must be an address range such as 100.64.0.0/10');
const commandName = z
  .string()
  .refine(
    isCommandName,
    `must be dotted words of letters, digits, _ and -, at most ${MAX_NAME_LENGTH} characters, and not ok or error`,
  );
const ownProgram = z
  .array(z.string().max(4096))
  .min(1)
  .max(64)
  .refine(([file = '']) => file.startsWith('/'), 'must begin with an absolute path');
/** Socket of a service with privileges that the agent does not have. */
const ownSocket = z
  .string()
  .startsWith('/', 'must be an absolute path')
  // unix(7)
  .refine((path) => Buffer.byteLength(path) <= 107, 'is too long for a socket: the limit is 107 bytes');
const handlerTimeout = durationSchema('100ms', '24h');

const listenedPort = z
  .strictObject({
    port: port.describe('UDP port'),
    format: z
      .enum(['auto', 'text', 'json', 'cbor', 'coap', 'raw'])
      .default('auto')
      .describe('`auto` detects the format by the first bytes; any other value pins the port to it'),
    handler: commandName.optional().describe('Handler of a raw port'),
    unprotected: z
      .literal('allow')
      .optional()
      .describe('`allow`: this port takes unprotected requests although `security.required` is on'),
  })
  .refine(
    (entry) => (entry.format === 'raw') === (entry.handler !== undefined),
    'a raw port needs a handler; other ports must not have one',
  );

/** Settings of every handler. */
const commonHandlerSettings = {
  description: z.string().max(120).default('').describe('One line for the command `commands`'),
  safe: z.boolean().default(false).describe('Read-only: no side effects; may run again, and CoAP GET may call it'),
  idempotent: z
    .boolean()
    .default(false)
    .describe('Running it twice has the same effect as once; may run again. Default: the value of `safe`'),
  timeout: handlerTimeout
    .default('30s')
    .describe(
      'Time limit; then a program’s process group gets SIGTERM, and SIGKILL after 2 s; the connection to a socket is closed',
    ),
  outputBytes: z
    .int()
    .min(1)
    .max(1_048_576)
    .default(65_536)
    .describe('Bytes of the output that are kept; the rest is cut'),
};

const programHandler = z.strictObject({
  program: z.array(z.string()).min(1).describe('Absolute path of the program, and its arguments; runs without a shell'),
  ...commonHandlerSettings,
  directory: z.string().default('/').describe('Working directory'),
  environment: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*(=[^\0]*)?$/, 'must be NAME, or NAME=value'))
    .default(['PATH', 'LANG', 'TZ'])
    .describe('Environment variables: NAME passes on the agent’s variable, NAME=value sets one'),
  user: z
    .string()
    .optional()
    .refine((user) => user === undefined || process.getuid?.() === 0, 'needs an agent that runs as root')
    .describe('User to run as, without supplementary groups; needs an agent that runs as root'),
});

const socketHandler = z.strictObject({
  socket: ownSocket.describe('Absolute path of a service’s socket, instead of a program'),
  ...commonHandlerSettings,
});

const interfaceName = z
  .string()
  .regex(/^[^\s/:]{1,15}$/, 'must be the name of an interface such as wwan0')
  .refine((name) => !['auto', '.', '..'].includes(name), 'must be the name of an interface such as wwan0');

/** As `state.folder`: no folder; what is known of commands is lost when the agent ends. */
const IN_MEMORY = 'none';

const settings = z.strictObject({
  device: z
    .strictObject({
      id: z.string().min(1).max(64).optional().describe('Name of the device; default: its host name'),
      reboot: z
        .union([ownProgram, z.strictObject({ socket: ownSocket })], 'must be a program and its arguments, or a socket')
        .optional()
        .describe(
          `What \`device.reboot\` runs: a program’s absolute path and its arguments, or \`{ socket: … }\`; default: \`${REBOOT_SOCKET}\` if it exists, else \`${REBOOT_PROGRAM.join(' ')}\``,
        ),
      restart: ownProgram
        .optional()
        .describe(
          'What `agent.restart` runs: a program’s absolute path and its arguments; default: the agent exits, and its service manager starts it again',
        ),
    })
    .prefault({})
    .transform(({ id, ...programs }) => ({ ...programs, id: id ?? hostname() })),
  listen: z
    .strictObject({
      address: z
        .string()
        .min(1)
        .default('auto')
        .describe(
          '`auto` (the address of the cellular interface: `link.interface`, or one of the type wwan or named ww…, ppp… or rmnet…), an address, or an interface such as wwan0. Loopback and link-local addresses are never taken; loopback ones are where `gateway.address` is one, for development',
        ),
      ports: z
        .array(
          z.union(
            [
              port.transform((number) => ({
                port: number,
                format: 'auto' as const,
                handler: undefined,
                unprotected: undefined,
              })),
              listenedPort,
            ],
            'must be a port from 1 to 65535, or an object with a port',
          ),
        )
        .min(1)
        .max(16)
        .refine(
          (entries) => new Set(entries.map((entry) => entry.port)).size === entries.length,
          'a port is listed twice',
        )
        .prefault([DEVICE_PORT])
        .describe('Device ports, each a number or an object'),
      receiveBufferBytes: z
        .int()
        .min(4096)
        .max(67_108_864)
        .default(4_194_304)
        .describe('Size of each port’s receive buffer, requested from the kernel'),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      address: address
        .default(GATEWAY_ADDRESS)
        .describe('Address of the network’s gateway, which turns datagrams into from_sim commands'),
      port: port.default(GATEWAY_PORT).describe('UDP port of the gateway'),
    })
    .prefault({}),
  link: z
    .strictObject({
      policy: z
        .enum(['auto', 'udp', 'modem'])
        .default('auto')
        .describe(
          'Link to use when a modem is configured: `auto` prefers UDP and falls back to the modem; `udp` and `modem` use only that link',
        ),
      interface: interfaceName
        .optional()
        .describe(
          'Cellular interface, such as wwan0; default: the interface of `listen.address`, or one of the type wwan or named ww…, ppp… or rmnet…',
        ),
      downFor: durationSchema('1s', '1h')
        .default('10s')
        .describe('How long UDP must be down before the agent switches to the modem'),
      upFor: durationSchema('1s', '24h')
        .default('60s')
        .describe('How long UDP must be up before the agent switches back to it'),
    })
    .prefault({}),
  modem: z
    .strictObject({
      path: z
        .string()
        .startsWith('/', 'must be an absolute path')
        .max(4096)
        .optional()
        .describe(
          'The modem’s serial port for AT commands, preferably below /dev/serial/by-id; without it no modem is used',
        ),
      dialect: z
        .enum(['auto', ...DIALECT_NAMES])
        .default('auto')
        .describe('The modem’s AT dialect; `auto` detects it by the model'),
      baudRate: z.int().min(9600).max(4_000_000).default(115_200).describe('Speed of the port; ignored by USB ports'),
      flowControl: z.enum(['none', 'rtscts']).default('none').describe('`rtscts` only if these lines are wired'),
      apn: z
        .string()
        .regex(/^[A-Za-z0-9.-]{1,100}$/, 'must be letters, digits, dots and hyphens')
        .default('super')
        .describe('Access point name'),
      pin: z
        .string('must be digits in quotes')
        .regex(/^\d{4,8}$/, 'must be 4 to 8 digits in quotes')
        .optional()
        .describe('PIN of the SIM, in quotes'),
    })
    .prefault({}),
  allow: z
    .array(range)
    .min(1)
    .max(64)
    .default([CARRIER_RANGE])
    .describe('Source address ranges that may send commands; others are not answered'),
  security: z
    .strictObject({
      unprotected: z
        .enum(['refuse', 'allow'])
        .default('refuse')
        .describe('Whether unprotected requests may run `device.reboot`, `agent.restart` and handlers with a `socket`'),
      required: z
        .boolean()
        .optional()
        .describe('Whether requests must be protected with a key (OSCORE); default: `true` as soon as there is a key'),
      except: z
        .array(commandName)
        .max(64)
        .default([])
        .describe('Commands that unprotected requests may call all the same, such as ping'),
      keys: z
        .string()
        .startsWith('/', 'must be an absolute path')
        .max(4096)
        .optional()
        .describe(
          'Folder of the key files, which end in `.json`; it must be there. Default: `keys` in CONFIGURATION_DIRECTORY, else /etc/supersim-agent/keys, which may be missing; with `--dev` none',
        ),
    })
    .prefault({}),
  events: z
    .strictObject({
      key: z
        .string()
        .min(1)
        .max(64)
        .optional()
        .describe(
          'Name of the key that protects events, which is its file’s name without `.json`; default: events are not protected',
        ),
    })
    .prefault({}),
  reply: z
    .strictObject({
      to: z
        .enum(['auto', 'gateway', 'source'])
        .default('auto')
        .describe(
          'Where replies go; `auto`: to the gateway if the command came from the carrier’s range, else to its source',
        ),
    })
    .prefault({}),
  deadline: z
    .strictObject({
      unsynchronized: z
        .enum(['refuse', 'run'])
        .default('refuse')
        .describe('What to do with a command that has a deadline while the clock is not synchronised'),
    })
    .prefault({}),
  state: z
    .strictObject({
      folder: z
        .string()
        .min(1)
        .optional()
        .describe(
          'Folder of the journal and the outbox; `none` keeps them in memory only; default: STATE_DIRECTORY, else /var/lib/supersim-agent; with `--dev` in memory only',
        ),
    })
    .prefault({}),
  journal: z
    .strictObject({
      keep: durationSchema('0s', '8760h')
        .default('24h')
        .describe('How long a finished command is kept; always kept while repeats of it may still arrive'),
      entries: z
        .int()
        .min(16)
        .max(1_000_000)
        .default(10_000)
        .describe(
          'Maximum number of commands in the journal with their replies; of older ones only identity and outcome are kept',
        ),
      bytes: z.int().min(65_536).max(1_073_741_824).default(16_777_216).describe('Maximum size of these commands'),
      identities: z
        .int()
        .min(0)
        .max(10_000_000)
        .default(1_000_000)
        .describe(
          'Maximum number of commands of which only identity and outcome are kept, about 44 bytes each on the disk and up to 30 in memory; new commands are refused as busy when none may be forgotten yet',
        ),
    })
    .prefault({}),
  outbox: z
    .strictObject({
      keep: durationSchema('1s', '8760h').default('24h').describe('How long a reply or an event waits for a link'),
      entries: z
        .int()
        .min(1)
        .max(100_000)
        .default(1000)
        .describe(
          'Maximum number of waiting replies and events; when full, the oldest event is dropped, or else the oldest reply',
        ),
      bytes: z.int().min(1300).max(134_217_728).default(524_288).describe('Maximum size of the outbox'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      running: z
        .int()
        .min(1)
        .max(1024)
        .default(16)
        .describe(
          'Maximum number of commands that run concurrently, the last quarter of them for source addresses with less than a quarter; ping, info, echo, commands and health have places of their own',
        ),
      waiting: z
        .int()
        .min(0)
        .max(65_536)
        .default(256)
        .describe(
          'Maximum number of commands that wait to run, of one source address three quarters; further ones are refused as busy',
        ),
      waitingBytes: z
        .int()
        .min(1300)
        .max(16_777_216)
        .default(262_144)
        .describe('Maximum size of the waiting commands, in bytes; further ones are refused as busy'),
      fromSimPerHour: z
        .int()
        .min(1)
        .max(100_000_000)
        .default(100_000)
        .describe(
          'Maximum number of messages to the gateway in an hour, each of which is billed: replies and events; further ones are not sent. What an hour leaves over can be sent in the next. The last quarter is for source addresses that have had less than a quarter',
        ),
      repliesPerSecond: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(100)
        .describe(
          'Maximum number of datagrams per second to one address that is neither the carrier’s nor a loopback address, with bursts of ten seconds’ worth; further ones are not sent',
        ),
      stop: durationSchema('0s', '5min').default('10s').describe('How long a stop waits for running commands'),
    })
    .prefault({}),
  handlers: z
    .record(commandName, z.union([programHandler, socketHandler], 'must have a program or a socket'))
    .default({})
    .describe('Programs and sockets of services, by command name'),
  modules: z.array(z.string().min(1)).max(64).default([]).describe('Paths of JavaScript modules with handlers'),
  control: z
    .strictObject({
      socket: z
        .string()
        .min(1)
        .optional()
        .describe(
          'Path of the control socket; default: `control.sock` in RUNTIME_DIRECTORY, else in /run/supersim-agent',
        ),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      port: port
        .optional()
        .describe(
          'TCP port on 127.0.0.1 that serves /metrics for Prometheus, such as 9464; default: none, only `supersim-agent metrics`',
        ),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(LOG_LEVELS).default('info').describe('Log level; `trace` also logs payloads'),
    })
    .prefault({}),
});

/** Schema of the agent's configuration, with the defaults of what file, variables and flags leave out. */
export const configSchema = settings.refine(({ link, modem }) => link.policy !== 'modem' || modem.path !== undefined, {
  path: ['link', 'policy'],
  message: 'the policy modem needs modem.path',
});

/** A configuration as written: everything is optional. */
export type ConfigInput = z.input<typeof configSchema>;

/** A complete configuration, with defaults. */
export type Config = z.output<typeof configSchema>;

/** Returns the configured state folder; undefined for none. */
export const stateFolderOf = ({ state: { folder } }: Pick<Config, 'state'>): string | undefined =>
  folder === IN_MEMORY ? undefined : folder;

export type ListenedPort = Config['listen']['ports'][number];
export type ProgramConfig = z.output<typeof programHandler>;
export type SocketConfig = z.output<typeof socketHandler>;
