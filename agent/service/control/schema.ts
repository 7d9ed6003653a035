import * as z from 'zod';
import { LOG_LEVELS } from '../../config/schema.js';

/** Limits and schemas that the control socket and its clients share. */

/** Maximum length of an answer in bytes. */
export const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;
export const MAX_LISTED = 1000;
export const DEFAULT_LISTED = 50;

const DEFAULT_FOLDER = '/run/supersim-agent';

/** Returns the default path of the control socket; systemd sets RUNTIME_DIRECTORY for a service. */
export function defaultControlSocket({ RUNTIME_DIRECTORY: folders = '' }: NodeJS.ProcessEnv): string {
  return `${folders.split(':')[0] || DEFAULT_FOLDER}/control.sock`;
}

const LIMIT = `must be a number from 1 to ${MAX_LISTED}`;
const ID = 'must be a positive integer';

/** Number of commands to list. */
export const limitSchema = z.coerce.number(LIMIT).pipe(z.int(LIMIT).min(1, LIMIT).max(MAX_LISTED, LIMIT));

/** A command's number in the journal. */
export const idSchema = z.coerce.number(ID).pipe(z.int(ID).min(1, ID));

/** Maximum length of an event's request body; longer than a payload, as JSON may have spaces and escapes. */
export const MAX_EVENT_BODY = 16_384;
/** Remedy for an event that is too long. */
export const SEND_LESS = 'Send less data, or several events.';
/** Time limit of sending an event: a modem may have others to send first. */
export const EVENT_ANSWER_MS = 120_000;

/** An event in JSON. */
export const eventSchema = z.strictObject({ event: z.string().min(1), data: z.unknown().optional() });

/** Where an accepted event is. */
export const sentEventSchema = z.looseObject({ state: z.enum(['sent', 'on-disk', 'in-memory']) });

/** Media type of Prometheus's text format. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Maximum length of an AT command. */
export const MAX_AT_COMMAND = 1024;
/** Time limit of an AT command: some wait for the network. */
export const AT_ANSWER_MS = 200_000;

const COMMAND = `must be an AT command of at most ${MAX_AT_COMMAND} printable characters`;

/** An AT command without its line ending. */
export const atCommandSchema = z
  .string(COMMAND)
  .trim()
  .max(MAX_AT_COMMAND, COMMAND)
  .regex(/^AT[ -~]*$/i, COMMAND);

/** Time limit of a reload, which may load modules and close a modem; below systemd's own limit. */
export const RELOAD_ANSWER_MS = 80_000;

export const logLevelSchema = z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`);

/** The number of the last record that the client has. */
export const afterSchema = z.coerce.number().pipe(z.int().min(0));

/** Unix milliseconds by the device's clock. */
const time = z.number();

/** A command in the journal. */
export const commandSchema = z.looseObject({
  id: z.int(),
  name: z.string(),
  /** `accepted`, `started`, `done`, `interrupted` or `refused`. */
  state: z.string(),
  outcome: z.string().nullable(),
  /** The error code, where it ended in one. */
  code: z.string().nullable(),
  /** The ID that its sender gave it. */
  callerId: z.union([z.string(), z.number()]).nullable(),
  peer: z.string(),
  source: z.string(),
  port: z.int(),
  transport: z.string(),
  format: z.string(),
  idempotent: z.boolean(),
  /** Number of times it was started. */
  runs: z.int(),
  received: time,
  started: time.nullable(),
  finished: time.nullable(),
  deadline: time.nullable(),
  /** The reply as it was sent, in Base64; only where one command is asked for. */
  reply: z.base64().nullable().optional(),
});
export type CommandView = z.infer<typeof commandSchema>;

export const commandListSchema = z.looseObject({ commands: z.array(commandSchema) });
export const cancelledSchema = z.looseObject({ cancelled: z.int() });
export const purgedSchema = z.looseObject({ purged: z.int() });

const count = z.int();

const linkSchema = z.looseObject({
  name: z.string(),
  up: z.boolean(),
  /** Why it is down. */
  reason: z.string().optional(),
  /** Since when it is up, or down. */
  since: time,
  address: z.string().optional(),
  modem: z
    .looseObject({
      registration: z.string().optional(),
      operator: z.string().optional(),
      signalDbm: z.number().optional(),
      counters: z
        .looseObject({
          rungs: z.record(z.string(), count),
          withheld: count,
          portOpened: count,
          dataUrcs: count,
          dataUrcsLost: count,
          polls: count,
          discardedBytes: z.record(z.string(), count),
          discarded: count,
        })
        .optional(),
    })
    .optional(),
});
export type LinkShown = z.infer<typeof linkSchema>;

/** A key of the device, without its secret. */
const keySchema = z.looseObject({
  name: z.string(),
  kid: z.int(),
  device: z.string(),
  /** The commands that it may call; absent for all. */
  allow: z.array(z.string()).optional(),
  /** False where the next request is challenged, as the replay window is lost. */
  windowKnown: z.boolean(),
});

export type KeyShown = z.infer<typeof keySchema>;

/** The agent's status, with what every process knows of itself. */
export const statusSchema = z.looseObject({
  version: z.string(),
  pid: z.int(),
  /** Of the process, in seconds. */
  uptime: z.number(),
  /** In bytes. */
  memory: z.looseObject({ rss: count, heapUsed: count }),
  /** Seconds on a processor, since the start. */
  cpuSeconds: z.number(),
  /** The address that it listens on; absent while there is no link. */
  address: z.string().optional(),
  ports: z.array(z.int()),
  /** The link in use and all that there are, that one first; absent before the start. */
  link: z.looseObject({ name: z.string(), since: time, switches: count, links: z.array(linkSchema) }).optional(),
  /** Absent in an agent of version 0.1, which had no such policy: everything was allowed. */
  security: z
    .looseObject({
      /** Whether requests must be protected with a key. */
      required: z.boolean().default(false),
      unprotected: z.enum(['refuse', 'allow']),
      /** Commands that unprotected requests may call all the same. */
      except: z.array(z.string()).default([]),
      keys: z.array(keySchema).default([]),
      /** Why key files cannot be used. */
      problems: z.array(z.string()).default([]),
      /** Whether protected messages can be sent; absent without keys. */
      numbers: z.enum(['ready', 'waiting', 'unknown', 'unwritable', 'exhausted']).optional(),
    })
    .optional(),
  /** Whether only the cellular interface reaches the device ports; absent without UDP, and in version 0.1. */
  interface: z
    .looseObject({
      enforcement: z.enum(['enforced', 'not-enforced', 'unknown']),
      reason: z.string(),
      interface: z.string().optional(),
      loaded: time.optional(),
    })
    .optional(),
  running: count,
  waiting: count,
  counters: z.looseObject({
    received: count,
    receivedBytes: count,
    refusedSource: count,
    refusedEmpty: count,
    refusedOversize: count,
    /** Absent in an agent of version 0.1. */
    refusedOverload: count.default(0),
    malformed: count,
    repeats: count,
    outcomes: z.record(z.string(), count),
    /** Absent in an agent of version 0.1. */
    notStarted: z.record(z.string(), count).optional(),
    sent: count,
    sentBytes: count,
    unsent: count,
    /** Absent in an agent of version 0.1, which had no such limits. */
    heldBack: z.record(z.string(), count).default({}),
    /** Requests that were denied, by the cause. */
    denied: z.record(z.string(), count).default({}),
  }),
  /** The command that finished last; absent before the first. */
  lastCommand: z
    .looseObject({
      name: z.string().optional(),
      outcome: z.string(),
      /** The error code, where it ended in one. */
      code: z.string().optional(),
      peer: z.string(),
      transport: z.string(),
      at: time,
    })
    .optional(),
  /** Source addresses of the last 1,000 commands; of version 0.1 unknown. */
  sources: z
    .looseObject({ addresses: z.array(z.looseObject({ address: z.string(), commands: count })), others: count })
    .default({ addresses: [], others: 0 }),
  /** The datagram that was sent last; absent before the first. */
  lastSent: z.looseObject({ bytes: count, transport: z.string(), at: time }).optional(),
  /** The sources whose datagrams were refused last, newest first. */
  lastRefused: z
    .array(
      z.looseObject({
        /** `source`, `empty`, `oversize`, `overload`, `malformed`, or a cause of `denied`. */
        cause: z.string(),
        address: z.string(),
        times: count,
        at: time,
        bytes: count,
      }),
    )
    .default([]),
  /** Absent where the kernel does not provide it. */
  kernelDrops: count.optional(),
  /** Absent where there is none. */
  journal: z
    .looseObject({
      persistent: z.boolean(),
      entries: count,
      bytes: count,
      live: count,
      damaged: count,
      /** Absent in an agent of version 0.1, which remembered only the commands with their replies. */
      remembered: count.optional(),
      /** What follows is not told by version 0.1, which replaced a journal that it could not write by memory. */
      writable: z.boolean().default(true),
      reason: z.string().optional(),
      lost: count.default(0),
      rewritten: count.default(0),
      restarted: count.default(0),
    })
    .optional(),
  /** Absent where there is none. */
  outbox: z.looseObject({ entries: count, bytes: count, drops: z.record(z.string(), count) }).optional(),
});

/** Result of a reload: names of settings, and paths of modules. */
export const reloadedSchema = z.looseObject({
  changed: z.array(z.string()),
  needsRestart: z.array(z.string()),
  modules: z.array(z.string()),
});

/** The log level in force, and the one in the configuration. */
export const logLevelAnswerSchema = z.looseObject({ level: z.string(), configured: z.string() });

/** The modem that the agent uses. */
export const modemSchema = z.looseObject({ path: z.string(), dialect: z.string().optional() });
export const atAnswerSchema = z.looseObject({ lines: z.array(z.string()) });
export const modemLogSchema = z.looseObject({
  /** Changes when the agent restarts and numbers its records from 1 again. */
  run: z.string(),
  records: z.array(
    z.object({
      n: count,
      t: time,
      dir: z.enum(['tx', 'rx']),
      hex: z.string().regex(/^(?:[0-9a-f]{2})*$/),
    }),
  ),
});

/** The body of every error response. */
export const problemSchema = z.object({ code: z.string(), message: z.string(), remedy: z.string() });
