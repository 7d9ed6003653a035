/**
 * `bare-hono.mjs BODY`, what the loopback's POST is compared with, a process of its own: a server made with Hono that
 * reads the form and answers 201 with this JSON. Tells its parent its URL.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const body = JSON.parse(process.argv[2] ?? '{}');
const app = new Hono();
app.post('/v1/IpCommands', async (c) => {
  const form = new URLSearchParams(await c.req.text());
  return form.has('Sim') ? c.json(body, 201) : c.text('no Sim', 400);
});
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
  process.send?.({ url: `http://127.0.0.1:${port}` }),
);
process.on('disconnect', () => process.exit());
