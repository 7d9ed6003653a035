import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { HTTPException } from 'hono/http-exception';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { auth } from 'hono/utils/basic-auth';
import * as z from 'zod';
import { isSupersimError, messageOf } from '../../shared/errors.js';
import { DIRECTIONS, STATUSES } from '../../shared/ip-command.js';
import { MAX_COMMANDS_PAGE_SIZE, MAX_PAGE_SIZE, pageOf } from '../account/paging.js';
import type { Store } from '../account/store.js';
import type { Commands } from '../command-delivery.js';
import type { Assumptions } from '../vendor-assumptions.js';
import { notFound, type ProviderName, VENDOR_CODES, VendorError } from '../vendor-error.js';
import { requestBody } from './body.js';
import { type ControlRouteOptions, controlRoutes } from './control.js';
import { parseCreate, parseFleetUpdate, parsePage, parseParams, refusal } from './form.js';
import {
  fleetResource,
  ipCommandResource,
  listBody,
  SIM_RESOURCE_STATUSES,
  simResource,
  simStatus,
} from './resources.js';
import { equalInConstantTime } from './timing-safe-equal.js';
import { TOKEN_PATH } from './tokens.js';

const METHODS = ['GET', 'POST', 'OPTIONS'];
const HEADERS = ['Content-Type', 'Authorization'];

/** The vendor sends these with every response. */
export const COMMON_HEADERS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Credentials': 'true',
  'Access-Control-Allow-Methods': METHODS.join(', '),
  'Access-Control-Allow-Headers': HEADERS.join(', '),
  'Access-Control-Expose-Headers': 'Allow',
} as const;

const ipCommandFilter = z.object({
  Sim: z.string().optional(),
  SimIccid: z.string().optional(),
  Status: z.enum(STATUSES).optional(),
  Direction: z.enum(DIRECTIONS).optional(),
});

const simFilter = z.object({
  Status: z.enum(SIM_RESOURCE_STATUSES).optional(),
  Fleet: z.string().optional(),
  Iccid: z.string().optional(),
});

export interface ApiOptions extends ControlRouteOptions {
  readonly accountSid: string;
  readonly authToken: string;
  readonly assumptions: Assumptions;
  readonly store: Store;
  readonly commands: Commands;
  readonly onError: (message: string) => void;
}

/**
 * The part of the Super SIM API that IP Commands need (docs/vendor-facts.md, "API: operations"), and the loopback's own
 * switches.
 */
export function createApi(options: ApiOptions): Hono {
  const app = new Hono();
  handleErrors(app, options);
  app.post(TOKEN_PATH, async (c) => options.tokens.issue(await form(c)));
  authenticate(app, options);
  app.use('/v1/*', options.apiFaults.middleware);
  ipCommandRoutes(app, options);
  simRoutes(app, options);
  fleetRoutes(app, options);
  controlRoutes(app, options);
  return app;
}

/** Answers preflights, and turns errors into responses. */
function handleErrors(app: Hono, { onError }: ApiOptions): void {
  const preflight = cors({ origin: '*', credentials: true, allowMethods: METHODS, allowHeaders: HEADERS });
  app.use((c, next) => (c.req.method === 'OPTIONS' ? preflight(c, next) : next()));
  app.notFound((c) => notFound(c.req.path).response(providerOf(c)));
  app.onError((error, c) => {
    if (error instanceof VendorError) return error.response(providerOf(c));
    if (isSupersimError(error, 'bad-input')) {
      return Response.json({ code: error.code, message: error.message, remedy: error.remedy }, { status: 400 });
    }
    if (error instanceof HTTPException) return error.getResponse();
    onError(messageOf(error));
    return new VendorError(500, VENDOR_CODES.internal, 'Internal server error').response(providerOf(c));
  });
}

/** Refuses requests without valid credentials, and unknown methods of known paths. */
function authenticate(app: Hono, { accountSid, authToken, tokens }: ApiOptions): void {
  const unauthorized = new VendorError(401, VENDOR_CODES.authenticate, 'Authenticate');
  app.use(async (c, next) => {
    const token = bearerToken(c);
    if (token !== undefined) {
      if (!tokens.isValid(token)) return unauthorized.response('kore', { 'WWW-Authenticate': 'Bearer' });
    } else {
      const given = auth(c.req.raw);
      const isRight = equalInConstantTime(`${given?.username}:${given?.password}`, `${accountSid}:${authToken}`);
      if (!isRight) return unauthorized.response('twilio', { 'WWW-Authenticate': 'Basic realm="Twilio API"' });
    }
    return next();
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        new VendorError(405, VENDOR_CODES.methodNotAllowed, 'Method not allowed').response(providerOf(c), {
          Allow: methods.join(', '),
        }),
    }),
  );
}

/** RFC 6750 §2.1. */
const bearerToken = (c: Context) => /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];

const providerOf = (c: Context): ProviderName => (bearerToken(c) === undefined ? 'twilio' : 'kore');

function ipCommandRoutes(app: Hono, { assumptions, store, registry, commands }: ApiOptions): void {
  app.post('/v1/IpCommands', async (c) => {
    const { simKey, ...command } = parseCreate(await form(c), assumptions);
    const sim = registry.sim(simKey);
    if (sim === undefined) throw refusal(assumptions.unknownSim, `The Sim ${simKey} was not found`);
    return c.json(ipCommandResource(commands.accept({ sim, ...command }), urlOf(c).origin), 201);
  });

  app.get('/v1/IpCommands', (c) => {
    const url = urlOf(c);
    const request = parsePage(url.searchParams, MAX_COMMANDS_PAGE_SIZE[providerOf(c)], assumptions);
    const filter = parseParams(ipCommandFilter, url.searchParams);
    const simSid = filter.Sim === undefined ? undefined : (registry.sim(filter.Sim)?.sid ?? '');
    const { items, ...tokens } = pageOf(
      store.newestFirst(simSid),
      (command) =>
        (filter.SimIccid === undefined || command.sim_iccid === filter.SimIccid) &&
        (filter.Status === undefined || command.status === filter.Status) &&
        (filter.Direction === undefined || command.direction === filter.Direction),
      request,
    );
    const resources = items.map((command) => ipCommandResource(command, url.origin));
    return c.json(listBody('ip_commands', resources, url, { ...request, ...tokens }));
  });

  app.get('/v1/IpCommands/:sid', (c) => {
    const command = store.get(c.req.param('sid'));
    if (command === undefined) throw notFound(c.req.path);
    return c.json(ipCommandResource(command, urlOf(c).origin));
  });
}

function simRoutes(app: Hono, { accountSid, assumptions, registry }: ApiOptions): void {
  app.get('/v1/Sims', (c) => {
    const url = urlOf(c);
    const request = parsePage(url.searchParams, MAX_PAGE_SIZE, assumptions);
    const filter = parseParams(simFilter, url.searchParams);
    const fleetSid = filter.Fleet === undefined ? undefined : (registry.fleet(filter.Fleet)?.sid ?? '');
    const { items, ...tokens } = pageOf(
      registry.sims(),
      (sim) =>
        (filter.Status === undefined || filter.Status === simStatus(sim)) &&
        (fleetSid === undefined || sim.fleetSid === fleetSid) &&
        (filter.Iccid === undefined || sim.iccid === filter.Iccid),
      request,
    );
    const resources = items.map((sim) => simResource(sim, accountSid, registry, url.origin));
    return c.json(listBody('sims', resources, url, { ...request, ...tokens }));
  });

  app.get('/v1/Sims/:sid', (c) => {
    const sim = registry.sim(c.req.param('sid'));
    if (sim === undefined) throw notFound(c.req.path);
    return c.json(simResource(sim, accountSid, registry, urlOf(c).origin));
  });
}

function fleetRoutes(app: Hono, { accountSid, registry }: ApiOptions): void {
  const find = (c: Context<object, '/v1/Fleets/:sid'>) => {
    const fleet = registry.fleet(c.req.param('sid'));
    if (fleet === undefined) throw notFound(c.req.path);
    return fleet;
  };

  app.get('/v1/Fleets/:sid', (c) => c.json(fleetResource(find(c), accountSid, registry, urlOf(c).origin)));

  app.post('/v1/Fleets/:sid', async (c) => {
    const fleet = find(c);
    const { IpCommandsUrl, IpCommandsMethod } = parseFleetUpdate(await form(c));
    const updated = registry.updateFleet({
      ...fleet,
      ipCommandsUrl: IpCommandsUrl === undefined ? fleet.ipCommandsUrl : IpCommandsUrl || null,
      ipCommandsMethod: IpCommandsMethod ?? fleet.ipCommandsMethod,
    });
    return c.json(fleetResource(updated, accountSid, registry, urlOf(c).origin));
  });
}

const urlOf = (c: Context) => new URL(c.req.url);

const form = async (c: Context) => new URLSearchParams((await requestBody(c)).toString('utf8'));
