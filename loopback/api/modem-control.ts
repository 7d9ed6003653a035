import type { Context, Hono } from 'hono';
import * as z from 'zod';
import { REGISTRATIONS, SIM_STATUSES } from '../modem/cellular.js';
import type { LoopbackModem } from '../modem/status.js';
import { seedSchema } from '../network/faults/settings.js';
import { notFound } from '../vendor-error.js';
import { jsonBody } from './json-body.js';

const faultsRequest = z.strictObject({
  faults: z.custom<object>((value) => typeof value === 'object' && value !== null, 'is missing; {} is none'),
  seed: seedSchema.optional(),
});

const stateRequest = z.strictObject({
  registration: z.enum(REGISTRATIONS).optional(),
  simStatus: z.enum(SIM_STATUSES).optional(),
  /** Null: unknown. */
  dbm: z.int().min(-150).max(0).nullable().optional(),
});

/** Single actions on the modem. */
const actionRequest = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('reset') }),
  z.strictObject({ action: z.literal('unplug') }),
  z.strictObject({ action: z.literal('plug') }),
  z.strictObject({ action: z.literal('drop-context') }),
  z.strictObject({ action: z.literal('close-socket'), id: z.int().min(0).max(20).optional() }),
  z.strictObject({ action: z.literal('garbage') }),
  z.strictObject({ action: z.literal('urc'), text: z.string().regex(/^[ -~]{1,256}$/) }),
]);

/** Routes that control the virtual modem; without one they are not found. */
export function modemRoutes(app: Hono, current: () => LoopbackModem | undefined): void {
  const find = (c: Context) => {
    const modem = current();
    if (modem === undefined) throw notFound(c.req.path);
    return modem;
  };
  const status = (c: Context) => c.json({ ...find(c).status(), ...find(c).faults() });

  app.get('/loopback/modem', status);
  app.put('/loopback/modem', async (c) => {
    const modem = find(c);
    const { registration, simStatus, dbm } = await jsonBody(c, stateRequest);
    if (simStatus !== undefined) modem.setSim(simStatus);
    if (registration !== undefined) modem.setRegistration(registration);
    if (dbm !== undefined) modem.setSignal(dbm ?? undefined);
    return status(c);
  });
  app.post('/loopback/modem', async (c) => {
    await act(find(c), await jsonBody(c, actionRequest));
    return status(c);
  });

  app.get('/loopback/modem/faults', (c) => c.json(find(c).faults()));
  app.put('/loopback/modem/faults', async (c) => {
    const modem = find(c);
    const { faults, seed } = await jsonBody(c, faultsRequest);
    modem.setFaults(faults, seed);
    return c.json(modem.faults());
  });
  app.delete('/loopback/modem/faults', (c) => {
    find(c).setFaults({});
    return c.json(find(c).faults());
  });
}

async function act(modem: LoopbackModem, request: z.infer<typeof actionRequest>): Promise<void> {
  switch (request.action) {
    case 'reset':
      return modem.reset();
    case 'unplug':
      return modem.unplug();
    case 'plug':
      return modem.plug();
    case 'drop-context':
      return modem.dropContext();
    case 'close-socket':
      modem.closeSocket(request.id);
      return;
    case 'garbage':
      return modem.sendGarbage();
    case 'urc':
      return modem.sendUrc(request.text);
  }
}
