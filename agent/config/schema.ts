import { hostname } from 'node:os';
import * as z from 'zod';
import { isCommandName, MAX_NAME_LENGTH } from '../../shared/command.js';
import { durationSchema } from '../../shared/duration.js';
import { CARRIER_RANGE, DEVICE_PORT, GATEWAY_ADDRESS, GATEWAY_PORT } from '../../shared/limits.js';
import { DIALECT_NAMES } from './dialect-names.js';

/** That of supersim-agent-reboot.socket. */
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
/** A socket of a service that runs what the agent itself may not. */
const ownSocket = z
  .string()
  .startsWith('/', 'must be an absolute path')
  // unix(7)
  .refine((path) => Buffer.byteLength(path) <= 107, 'is too long for a socket: 107 bytes at most');
const handlerTimeout = durationSchema('100ms', '24h');

const listenedPort = z
  .strictObject({
    port: port.describe('UDP port'),
    format: z
      .enum(['auto', 'text', 'json', 'cbor', 'coap', 'raw'])
      .default('auto')
      .describe('`auto` tells the format by the first bytes; any other pins the port to it'),
    handler: commandName.optional().describe('The one handler that a raw port hands its bytes to'),
  })
  .refine(
    (entry) => (entry.format === 'raw') === (entry.handler !== undefined),
    'a raw port needs a handler, and only a raw port has one',
  );

/** What is said of a handler whatever does its work. */
const ofAnyHandler = {
  description: z.string().max(120).default('').describe('One line for `commands`'),
  safe: z.boolean().default(false).describe('It changes nothing'),
  idempotent: z.boolean().default(false).describe('Running it twice does no harm'),
  timeout: handlerTimeout
    .default('30s')
    .describe(
      'After this the whole process group of a program gets SIGTERM, then SIGKILL; the connection to a socket is closed',
    ),
  outputBytes: z.int().min(1).max(1_048_576).default(65_536).describe('How much of what it writes is kept'),
};

const programHandler = z.strictObject({
  program: z
    .array(z.string())
    .min(1)
    .describe('The program, by its absolute path, and its arguments; no shell is involved'),
  ...ofAnyHandler,
  directory: z.string().default('/').describe('Working directory'),
  environment: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*(=[^\0]*)?$/, 'must be NAME, or NAME=value'))
    .default(['PATH', 'LANG', 'TZ'])
    .describe('What it sees of the environment: NAME hands on the agent’s own variable, NAME=value sets one'),
  user: z
    .string()
    .optional()
    .refine(
      (user) => user === undefined || process.getuid?.() === 0,
      'only an agent that runs as root can run a program as another user',
    )
    .describe('User to run as, without supplementary groups; only when the agent is root'),
});

const socketHandler = z.strictObject({
  socket: ownSocket.describe('Instead of a program: the socket of a service that does it, by its absolute path'),
  ...ofAnyHandler,
});

const interfaceName = z
  .string()
  .regex(/^[^\s/:]{1,15}$/, 'must be the name of an interface such as wwan0')
  .refine((name) => !['auto', '.', '..'].includes(name), 'must be the name of an interface such as wwan0');

const settings = z.strictObject({
  device: z
    .strictObject({
      id: z.string().min(1).max(64).optional().describe('Name that the device gives itself; its host name by default'),
      reboot: z
        .union([ownProgram, z.strictObject({ socket: ownSocket })], 'must be a program and its arguments, or a socket')
        .optional()
        .describe(
          `What \`device.reboot\` does: a program, by its absolute path, and its arguments, or \`{ socket: … }\`; by default \`${REBOOT_SOCKET}\` where that is, else \`${REBOOT_PROGRAM.join(' ')}\``,
        ),
      restart: ownProgram
        .optional()
        .describe(
          'The same for `agent.restart`; without it the agent ends itself, and its service manager starts it again',
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
          '`auto` (that of the interface which routes to the gateway), an address, or an interface such as wwan0',
        ),
      ports: z
        .array(
          z.union(
            [port.transform((number) => ({ port: number, format: 'auto' as const, handler: undefined })), listenedPort],
            'must be a port from 1 to 65535, or an object that has one',
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
        .describe('Receive buffer asked of the kernel for each port'),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      address: address
        .default(GATEWAY_ADDRESS)
        .describe('The network’s gateway: what goes there becomes a from_sim command'),
      port: port.default(GATEWAY_PORT).describe('Its UDP port'),
    })
    .prefault({}),
  link: z
    .strictObject({
      policy: z
        .enum(['auto', 'udp', 'modem'])
        .default('auto')
        .describe(
          'What is used where a modem is configured: `auto` prefers UDP and falls back to the modem, `udp` and `modem` use nothing else',
        ),
      interface: interfaceName
        .optional()
        .describe(
          'The cellular interface, such as wwan0; without it the one of `listen.address`, or one whose name begins with ww, ppp or rmnet',
        ),
      downFor: durationSchema('1s', '1h')
        .default('10s')
        .describe('How long UDP has to be without an address before the modem is used'),
      upFor: durationSchema('1s', '24h').default('60s').describe('How long UDP has to be up before it is used again'),
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
          'The modem’s serial port for AT commands, best one of /dev/serial/by-id; without it there is no modem',
        ),
      dialect: z
        .enum(['auto', ...DIALECT_NAMES])
        .default('auto')
        .describe('Which AT commands it understands; `auto` asks it for its model'),
      baudRate: z.int().min(9600).max(4_000_000).default(115_200).describe('Speed of the port; a USB port has none'),
      flowControl: z.enum(['none', 'rtscts']).default('none').describe('`rtscts` only where these lines are wired'),
      apn: z
        .string()
        .regex(/^[A-Za-z0-9.-]{1,100}$/, 'must be letters, digits, dots and hyphens')
        .default('super')
        .describe('Access point name'),
      pin: z
        .string('must be digits in quotes')
        .regex(/^\d{4,8}$/, 'must be 4 to 8 digits in quotes')
        .optional()
        .describe('PIN of the SIM, where it asks for one; in quotes'),
    })
    .prefault({}),
  allow: z
    .array(range)
    .min(1)
    .max(64)
    .default([CARRIER_RANGE])
    .describe('Source ranges that may send commands; others are never answered'),
  security: z
    .strictObject({
      unprotected: z
        .enum(['refuse', 'allow'])
        .default('refuse')
        .describe(
          'Whether requests that are not authenticated may run what ends or changes the device: `device.reboot`, `agent.restart`, and handlers with a `socket`',
        ),
    })
    .prefault({}),
  reply: z
    .strictObject({
      to: z
        .enum(['auto', 'gateway', 'source'])
        .default('auto')
        .describe('`auto`: to the gateway when the command came from the carrier, else to its source'),
    })
    .prefault({}),
  deadline: z
    .strictObject({
      unsynchronized: z
        .enum(['refuse', 'run'])
        .default('refuse')
        .describe('What becomes of a command with a deadline while the clock is not synchronised'),
    })
    .prefault({}),
  state: z
    .strictObject({
      folder: z
        .string()
        .min(1)
        .optional()
        .describe(
          'Where the journal and the outbox lie; by default STATE_DIRECTORY or /var/lib/supersim-agent, with `--dev` nowhere',
        ),
    })
    .prefault({}),
  journal: z
    .strictObject({
      keep: durationSchema('0s', '8760h')
        .default('24h')
        .describe('How long an ended command is remembered, if that is longer than repeats of it may come'),
      entries: z
        .int()
        .min(16)
        .max(1_000_000)
        .default(10_000)
        .describe('Commands that are remembered; when repeats of all of them may still come, more are refused as busy'),
      bytes: z.int().min(65_536).max(1_073_741_824).default(16_777_216).describe('Bytes of all of them'),
    })
    .prefault({}),
  outbox: z
    .strictObject({
      keep: durationSchema('1s', '8760h')
        .default('24h')
        .describe('How long a reply or an event that cannot leave waits for a link'),
      entries: z
        .int()
        .min(1)
        .max(100_000)
        .default(1000)
        .describe('Replies and events that wait; then the oldest event gives way, or else the oldest reply'),
      bytes: z.int().min(1300).max(134_217_728).default(524_288).describe('Bytes of all of them'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      running: z.int().min(1).max(1024).default(16).describe('Commands that run at once'),
      waiting: z
        .int()
        .min(0)
        .max(65_536)
        .default(256)
        .describe('Commands that wait for a place; more are refused as busy'),
      waitingBytes: z
        .int()
        .min(1300)
        .max(16_777_216)
        .default(262_144)
        .describe('Bytes of datagrams that wait; more are refused as busy'),
      stop: durationSchema('0s', '5min').default('10s').describe('How long a stop waits for running commands'),
    })
    .prefault({}),
  handlers: z
    .record(commandName, z.union([programHandler, socketHandler], 'must have a program or a socket'))
    .default({})
    .describe('Programs, and sockets of services, by command name'),
  modules: z.array(z.string().min(1)).max(64).default([]).describe('Files of handlers written in JavaScript'),
  control: z
    .strictObject({
      socket: z
        .string()
        .min(1)
        .optional()
        .describe('Path of the control socket; by default `control.sock` in RUNTIME_DIRECTORY or /run/supersim-agent'),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      port: port
        .optional()
        .describe(
          'TCP port of 127.0.0.1 where /metrics is served for Prometheus, such as 9464; without it only the control socket tells them',
        ),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(LOG_LEVELS).default('info').describe('`trace` also logs payloads'),
    })
    .prefault({}),
});

/** The agent's configuration. What the file, the variables or the flags leave out has the value given here. */
export const configSchema = settings.refine(({ link, modem }) => link.policy !== 'modem' || modem.path !== undefined, {
  path: ['link', 'policy'],
  message: 'the policy modem needs modem.path',
});

/** A configuration as one writes it: everything is optional. */
export type ConfigInput = z.input<typeof configSchema>;

/** A complete configuration. */
export type Config = z.output<typeof configSchema>;

export type ListenedPort = Config['listen']['ports'][number];
export type ProgramConfig = z.output<typeof programHandler>;
export type SocketConfig = z.output<typeof socketHandler>;
