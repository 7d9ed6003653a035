import * as z from 'zod';
import { SupersimError } from '../../shared/errors.js';
import { VERSION } from '../../shared/version.js';
import type { ControlCommands, ControlModem, ControlTarget } from './control.js';
import {
  AT_ANSWER_MS,
  afterSchema,
  atCommandSchema,
  DEFAULT_LISTED,
  idSchema,
  limitSchema,
  whatIsWrong,
} from './control-schema.js';

interface Asked {
  /** The last part of the path, where the route has one that varies. */
  readonly id: string | undefined;
  readonly query: URLSearchParams;
}

/** Answers a request with what becomes JSON. @throws SupersimError */
type Handle = (target: ControlTarget, asked: Asked) => Promise<object>;

interface Route {
  readonly path: RegExp;
  readonly methods: ReadonlyMap<string, Handle>;
  /** How long its answer may take, where that is longer than usual. */
  readonly answerMs?: number;
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
  return { version: VERSION, pid: process.pid, uptime: process.uptime(), ...(await target.status()) };
}

const listQuery = z.strictObject({ limit: limitSchema.default(DEFAULT_LISTED) });

async function list(target: ControlTarget, { query }: Asked): Promise<object> {
  const { limit } = checked(listQuery, Object.fromEntries(query), 'the query');
  return { commands: await commandsOf(target).list(limit) };
}

async function get(target: ControlTarget, asked: Asked): Promise<object> {
  const id = checked(idSchema, asked.id, 'the ID');
  const found = await commandsOf(target).get(id);
  if (found === undefined) throw noSuchCommand(id);
  return found;
}

async function cancel(target: ControlTarget, asked: Asked): Promise<object> {
  const id = checked(idSchema, asked.id, 'the ID');
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

async function modem(target: ControlTarget): Promise<object> {
  const { path, dialect } = modemOf(target);
  return { path, dialect: dialect() };
}

const atQuery = z.strictObject({ command: atCommandSchema });

async function at(target: ControlTarget, { query }: Asked): Promise<object> {
  const asked = modemOf(target);
  const { command } = checked(atQuery, Object.fromEntries(query), 'the query');
  return { lines: await asked.at(command) };
}

const logQuery = z.strictObject({ after: afterSchema.default(0) });
/** Of hexadecimal digits in one answer; who wants more asks for what is after the last. */
const MAX_LOGGED = 1_000_000;

async function modemLog(target: ControlTarget, { query }: Asked): Promise<object> {
  const asked = modemOf(target);
  const { after } = checked(logQuery, Object.fromEntries(query), 'the query');
  const all = asked.log(after);
  let length = 0;
  const end = all.findIndex(({ hex }, index) => {
    length += hex.length;
    return index > 0 && length > MAX_LOGGED;
  });
  return { run: asked.run, records: end === -1 ? all : all.slice(0, end) };
}

function modemOf({ modem: found }: ControlTarget): ControlModem {
  if (found === undefined) throw new SupersimError('no-modem', 'this agent uses no modem');
  return found;
}

const noSuchCommand = (id: number) => new SupersimError('no-such-command', `there is no command ${id}`);

function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', `${what}: ${whatIsWrong(result.error)}`);
}
