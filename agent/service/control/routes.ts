import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { SupersimError } from '../../../shared/errors.js';
import { VERSION } from '../../../shared/version.js';
import {
  AT_ANSWER_MS,
  afterSchema,
  atCommandSchema,
  DEFAULT_LISTED,
  EVENT_ANSWER_MS,
  idSchema,
  limitSchema,
  logLevelSchema,
  MAX_EVENT_BODY,
  RELOAD_ANSWER_MS,
} from './schema.js';
import type { ControlCommands, ControlLogLevel, ControlModem, ControlTarget } from './socket.js';

interface Asked {
  /** The last part of the path, where the route has one that varies. */
  readonly id: string | undefined;
  readonly query: URLSearchParams;
  /** Empty but where the route takes one. */
  readonly body: Buffer;
  /** The body's media type, as the client says. */
  readonly type: string;
}

/** Answers a request with what becomes JSON, or with metrics. @throws SupersimError */
type Handle = (target: ControlTarget, asked: Asked) => Promise<object | string>;

interface Route {
  readonly path: RegExp;
  readonly methods: ReadonlyMap<string, Handle>;
  /** How long its answer may take, where that is longer than usual. */
  readonly answerMs?: number;
  /** The longest body, in bytes; without it there may be none. */
  readonly maxBody?: number;
}

/** All that can be asked. The first path that fits is taken. */
const ROUTES: readonly Route[] = [
  { path: /^\/status$/, methods: new Map([['GET', status]]) },
  { path: /^\/commands$/, methods: new Map([['GET', list]]) },
  { path: /^\/commands\/purge$/, methods: new Map([['POST', purge]]) },
  {
    path: /^\/commands\/([^/]+)$/,
    methods: new Map([
      ['GET', get],
      ['DELETE', cancel],
    ]),
  },
  {
    path: /^\/events$/,
    methods: new Map([['POST', sendEvent]]),
    answerMs: EVENT_ANSWER_MS,
    maxBody: MAX_EVENT_BODY,
  },
  { path: /^\/metrics$/, methods: new Map([['GET', metrics]]) },
  { path: /^\/reload$/, methods: new Map([['POST', reload]]), answerMs: RELOAD_ANSWER_MS },
  {
    path: /^\/loglevel$/,
    methods: new Map([
      ['GET', logLevel],
      ['PUT', setLogLevel],
    ]),
  },
  { path: /^\/modem$/, methods: new Map([['GET', modem]]) },
  { path: /^\/modem\/at$/, methods: new Map([['POST', at]]), answerMs: AT_ANSWER_MS },
  { path: /^\/modem\/log$/, methods: new Map([['GET', modemLog]]) },
];

/** The route of a path, and the part of it that varies. */
export function findRoute(path: string): (Route & Pick<Asked, 'id'>) | undefined {
  for (const route of ROUTES) {
    const found = route.path.exec(path);
    if (found !== null) return { ...route, id: found[1] };
  }
  return undefined;
}

async function status(target: ControlTarget): Promise<object> {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    version: VERSION,
    pid: process.pid,
    uptime: process.uptime(),
    memory: { rss, heapUsed },
    cpuSeconds: (user + system) / 1e6,
    ...(await target.status()),
  };
}

const listQuery = z.strictObject({ limit: limitSchema.default(DEFAULT_LISTED) });

async function list(target: ControlTarget, { query }: Asked): Promise<object> {
  const { limit } = checkInput(listQuery, Object.fromEntries(query), 'the query');
  return { commands: await commandsOf(target).list(limit) };
}

async function get(target: ControlTarget, asked: Asked): Promise<object> {
  const id = checkInput(idSchema, asked.id, 'the ID');
  const found = await commandsOf(target).get(id);
  if (found === undefined) throw noSuchCommand(id);
  return found;
}

async function cancel(target: ControlTarget, asked: Asked): Promise<object> {
  const id = checkInput(idSchema, asked.id, 'the ID');
  const became = await commandsOf(target).cancel(id);
  if (became === 'not-found') throw noSuchCommand(id);
  if (became === 'too-late') throw new SupersimError('too-late', `command ${id} has started or ended`);
  return { cancelled: id };
}

async function purge(target: ControlTarget): Promise<object> {
  return { purged: await commandsOf(target).purge() };
}

function commandsOf({ commands }: ControlTarget): ControlCommands {
  if (commands === undefined) throw new SupersimError('no-journal', 'this agent has no journal');
  return commands;
}

async function sendEvent({ events }: ControlTarget, { body, type }: Asked): Promise<object> {
  if (events === undefined) throw notHere('events');
  return { state: await events.send(body, /^application\/json\b/i.test(type)) };
}

async function metrics(target: ControlTarget): Promise<string> {
  if (target.metrics === undefined) throw notHere('metrics');
  return target.metrics();
}

const notHere = (what: string) => new SupersimError('bad-input', `there are no ${what} here`);
async function reload(target: ControlTarget): Promise<object> {
  if (target.reload === undefined) throw new SupersimError('bad-input', 'there is no configuration to be read again');
  return target.reload();
}

async function logLevel(target: ControlTarget): Promise<object> {
  return logLevelOf(target).get();
}

const levelQuery = z.strictObject({ level: logLevelSchema });

async function setLogLevel(target: ControlTarget, { query }: Asked): Promise<object> {
  const log = logLevelOf(target);
  const { level } = checkInput(levelQuery, Object.fromEntries(query), 'the query');
  log.set(level);
  return log.get();
}

function logLevelOf({ logLevel: found }: ControlTarget): ControlLogLevel {
  if (found === undefined) throw new SupersimError('bad-input', 'there is no log level to be set');
  return found;
}

async function modem(target: ControlTarget): Promise<object> {
  const { path, dialect } = await modemOf(target);
  return { path, dialect: dialect() };
}

const atQuery = z.strictObject({ command: atCommandSchema });

async function at(target: ControlTarget, { query }: Asked): Promise<object> {
  const asked = await modemOf(target);
  const { command } = checkInput(atQuery, Object.fromEntries(query), 'the query');
  return { lines: await asked.at(command) };
}

const logQuery = z.strictObject({ after: afterSchema.default(0) });
/** Of hexadecimal digits in one answer; who wants more asks for what is after the last. */
const MAX_LOGGED = 1_000_000;

async function modemLog(target: ControlTarget, { query }: Asked): Promise<object> {
  const asked = await modemOf(target);
  const { after } = checkInput(logQuery, Object.fromEntries(query), 'the query');
  const all = asked.log(after);
  let length = 0;
  const end = all.findIndex(({ hex }, index) => {
    length += hex.length;
    return index > 0 && length > MAX_LOGGED;
  });
  return { run: asked.run, records: end === -1 ? all : all.slice(0, end) };
}

async function modemOf({ modem: used }: ControlTarget): Promise<ControlModem> {
  const found = await used;
  if (found === undefined) throw new SupersimError('no-modem', 'this agent uses no modem');
  return found;
}

const noSuchCommand = (id: number) => new SupersimError('no-such-command', `there is no command ${id}`);
