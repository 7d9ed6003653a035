/**
 * Makes requests one after the other, as the shells of an operator do: each opens the file with the keys anew. Prints a
 * line of JSON for each. With the variable STORE, a file, each request's identity is there before a datagram leaves; a
 * request that is there is made again.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import * as z from 'zod';
import { createRequester, IpCommandClient, openSecurity, pollingReplies } from '../../sender/index.js';
import type { RequestIdentity } from '../../sender/request/request.js';

const { STORE: store } = process.env;
const env = z
  .object({
    API_URL: z.string(),
    ACCOUNT_SID: z.string(),
    AUTH_TOKEN: z.string(),
    TIME_SCALE: z.coerce.number(),
    COMMAND: z.string(),
    TEXT: z.string().optional(),
    TIMEOUT: z.string().default('20s'),
    /** Names, separated by commas: the requests go round. */
    SIMS: z.string().transform((names) => names.split(',')),
    COUNT: z.coerce.number().default(1),
    /** How many are made at once. */
    AT_ONCE: z.coerce.number().default(1),
  })
  .parse(process.env);

const bytes = z.base64().transform((text) => Buffer.from(text, 'base64'));
const storedSchema = z.object({
  tag: bytes,
  messageId: z.number(),
  protection: z.object({ key: z.string(), numbers: z.array(z.number()), echo: bytes.optional() }),
});

function read(path: string): RequestIdentity | undefined {
  return existsSync(path) ? storedSchema.parse(JSON.parse(readFileSync(path, 'utf8'))) : undefined;
}

function write(path: string, { tag, messageId, protection }: RequestIdentity): void {
  const base64 = (value: Uint8Array) => Buffer.from(value).toString('base64');
  const echo = protection?.echo && base64(protection.echo);
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, JSON.stringify({ tag: base64(tag), messageId, protection: { ...protection, echo } }));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
}

const { API_URL: baseUrl, ACCOUNT_SID: accountSid, AUTH_TOKEN: authToken, TIME_SCALE: timeScale } = env;
const client = new IpCommandClient({ accountSid, authToken, baseUrl });
const replies = pollingReplies(client, { interval: 20 });

async function ask(sim: string): Promise<void> {
  const security = openSecurity();
  const known = store === undefined ? undefined : read(store);
  const identity = known ?? { tag: randomBytes(6), messageId: randomBytes(2).readUInt16BE() };
  try {
    const request = createRequester({ client, security, replies, timeScale });
    const params = env.TEXT === undefined ? {} : { text: env.TEXT };
    const result = await request(sim, env.COMMAND, params, {
      identity,
      again: known !== undefined,
      timeout: z.templateLiteral([z.number(), z.enum(['ms', 's'])]).parse(env.TIMEOUT),
      onProtection: (protection) => {
        if (store !== undefined) write(store, { ...identity, protection });
      },
    });
    console.log(JSON.stringify({ sim, ...result }));
  } finally {
    security.close();
  }
}

let next = 0;
async function askInTurn(): Promise<void> {
  while (next < env.COUNT) await ask(env.SIMS[next++ % env.SIMS.length] ?? '');
}
await Promise.all(Array.from({ length: env.AT_ONCE }, askInTurn));
