import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { startReloadable, writeModule } from '../../support/reload.js';

const LONG_MS = 120_000;
const MEBIBYTE = 1_048_576;

test('a thousand reloads leak neither files nor memory; each changed module takes a bounded amount', {
  timeout: LONG_MS,
}, async () => {
  const folder = temporaryFolder();
  const heap = writeFile(
    folder,
    'heap.mjs',
    `export default { name: 'heap', description: '', safe: true,
      async run() { for (let n = 0; n < 4; n++) { gc(); await new Promise((done) => setTimeout(done, 10)); } return process.memoryUsage().heapUsed; } };`,
  );
  const modules = [heap, writeModule(folder, 0)];
  const handlers = { word: { program: [writeScript('echo x')] } };
  const { agent, reload, gateway, device, write } = await startReloadable(
    { modules, handlers },
    { node: ['--expose-gc'] },
  );
  let asked = 0;
  const state = async () => ({
    heap: Number((await gateway.ask(`#${asked++} heap`, device)).toString().split(' ').at(-1)),
    files: readdirSync(`/proc/${agent.pid}/fd`).length,
    rssAnon: Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))?.[1]) * 1024,
  });
  const reloads = async (count: number, before: (n: number) => void = () => undefined) => {
    for (let n = 0; n < count; n++) {
      before(n);
      await reload();
    }
    return state();
  };
  const first = await reloads(50);
  const then = await reloads(1000, (n) => write({ modules, handlers, limits: { running: 1 + (n % 9) } }));
  expect(then.files).toBeLessThanOrEqual(first.files + 2);
  expect(then.heap - first.heap).toBeLessThan(2 * MEBIBYTE);
  expect(then.rssAnon - first.rssAnon).toBeLessThan(64 * MEBIBYTE);
  const renewed = await reloads(200, (n) => void writeModule(folder, n + 1));
  expect(renewed.files).toBeLessThanOrEqual(first.files + 2);
  expect((renewed.heap - then.heap) / 200).toBeLessThan(50_000);
});
