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
import type { ControlCommands, ControlLogLevel, ControlModem, ControlTarget } from './target.js';

interface RouteRequest {
  /** The variable last part of the path, where the route has one. */
  readonly id: string | undefined;
  readonly query: URLSearchParams;
  /** Empty unless the route accepts a body. */
  readonly body: Buffer;
  /** The Content-Type header. */
  readonly type: string;
}

/** Handles a request; resolves to an object for JSON, or to metrics. @throws (rejects) SupersimError */
type Handle = (target: ControlTarget, request: RouteRequest) => Promise<object | string>;

interface Route {
  readonly path: RegExp;
  readonly methods: ReadonlyMap<string, Handle>;
  /** Time limit of the answer, where it exceeds the default. */
  readonly answerMs?: number;
  /** Maximum length of the body in bytes; without it no body is accepted. */
  readonly maxBody?: number;
}

/** All routes. The first path that matches counts. */
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

/** Finds the route of a path, with the path's variable part. */
export function findRoute(path: string): (Route & Pick<RouteRequest, 'id'>) | undefined {
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

async function list(target: ControlTarget, { query }: RouteRequest): Promise<object> {
  const { limit } = checkInput(listQuery, Object.fromEntries(query), 'the query');
  return { commands: await commandsOf(target).list(limit) };
}

async function get(target: ControlTarget, request: RouteRequest): Promise<object> {
  const id = checkInput(idSchema, request.id, 'the ID');
  const found = await commandsOf(target).get(id);
  if (found === undefined) throw noSuchCommand(id);
  return found;
}

async function cancel(target: ControlTarget, request: RouteRequest): Promise<object> {
  const id = checkInput(idSchema, request.id, 'the ID');
  const result = await commandsOf(target).cancel(id);
  if (result === 'not-found') throw noSuchCommand(id);
  if (result === 'too-late') throw new SupersimError('too-late', `command ${id} has already started or finished`);
  return { cancelled: id };
}

async function purge(target: ControlTarget): Promise<object> {
  return { purged: await commandsOf(target).purge() };
}

function commandsOf({ commands }: ControlTarget): ControlCommands {
  if (commands === undefined) throw new SupersimError('no-journal', 'the agent has no journal');
  return commands;
}

async function sendEvent({ events }: ControlTarget, { body, type }: RouteRequest): Promise<object> {
  if (events === undefined) throw unsupported('events');
  return { state: await events.send(body, /^application\/json\b/i.test(type)) };
}

async function metrics(target: ControlTarget): Promise<string> {
  if (target.metrics === undefined) throw unsupported('metrics');
  return target.metrics();
}

const unsupported = (what: string) => new SupersimError('bad-input', `this agent does not support ${what}`);

async function reload(target: ControlTarget): Promise<object> {
  if (target.reload === undefined) throw unsupported('reload');
  return target.reload();
}

async function logLevel(target: ControlTarget): Promise<object> {
  return logLevelOf(target).get();
}

const levelQuery = z.strictObject({ level: logLevelSchema });

async function setLogLevel(target: ControlTarget, { query }: RouteRequest): Promise<object> {
  const log = logLevelOf(target);
  const { level } = checkInput(levelQuery, Object.fromEntries(query), 'the query');
  log.set(level);
  return log.get();
}

function logLevelOf({ logLevel: found }: ControlTarget): ControlLogLevel {
  if (found === undefined) throw unsupported('loglevel');
  return found;
}

async function modem(target: ControlTarget): Promise<object> {
  const { path, dialect } = await modemOf(target);
  return { path, dialect: dialect() };
}

const atQuery = z.strictObject({ command: atCommandSchema });

async function at(target: ControlTarget, { query }: RouteRequest): Promise<object> {
  const found = await modemOf(target);
  const { command } = checkInput(atQuery, Object.fromEntries(query), 'the query');
  return { lines: await found.at(command) };
}

const logQuery = z.strictObject({ after: afterSchema.default(0) });
/** Maximum hexadecimal digits in one answer; the client requests the rest with `after`. */
const MAX_LOG_DIGITS = 1_000_000;

async function modemLog(target: ControlTarget, { query }: RouteRequest): Promise<object> {
  const found = await modemOf(target);
  const { after } = checkInput(logQuery, Object.fromEntries(query), 'the query');
  const all = found.log(after);
  let length = 0;
  const end = all.findIndex(({ hex }, index) => {
    length += hex.length;
    return index > 0 && length > MAX_LOG_DIGITS;
  });
  return { run: found.run, records: end === -1 ? all : all.slice(0, end) };
}

async function modemOf({ modem: used }: ControlTarget): Promise<ControlModem> {
  const found = await used;
  if (found === undefined) throw new SupersimError('no-modem', 'the agent uses no modem');
  return found;
}

const noSuchCommand = (id: number) => new SupersimError('no-such-command', `no command ${id} in the journal`);
