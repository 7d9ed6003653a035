import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { environment } from '../../agent/cli/support.js';
import { arm64Root, ROOT_TIMEOUT_MS } from '../../support/debian-root.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { buildPackages, packageFile, unpackPackage } from '../../support/package.js';
import { runProcess, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

/** An emulated processor is some thirty times slower. */
const START_MS = 60_000;

const HANDLERS = `import { defineHandler } from 'supersim-agent';
export default defineHandler({ name: 'processor', description: 'Tells it', run: () => process.arch });
`;

describe.skipIf(needs('root', 'mmdebstrap', 'dpkg-deb', 'qemu-aarch64-static'))('the package for arm64', () => {
  let node: string[] = [];
  beforeAll(async () => {
    const root = await arm64Root();
    node = ['-L', root, join(root, 'usr/bin/node')];
  }, ROOT_TIMEOUT_MS);

  it('contains an agent that runs on arm64, with its journal and its serial ports', async () => {
    const folder = temporaryFolder();
    await buildPackages(folder, ['arm64']);
    const unpacked = join(folder, 'unpacked');
    await unpackPackage(packageFile(folder, 'arm64'), unpacked);
    const home = join(unpacked, 'usr/lib/supersim-agent');

    const address = randomAddress();
    const operator = await openPeer();
    const config = writeFile(
      folder,
      'config.yaml',
      JSON.stringify({
        listen: { address },
        allow: ['127.0.0.0/8'],
        control: { socket: join(folder, 'control.sock') },
        modules: [writeFile(folder, 'handlers.mjs', HANDLERS)],
      }),
    );
    const run = [...node, join(home, 'dist/bin/supersim-agent.js'), 'run', '--config', config];
    const agent = startProcess('qemu-aarch64-static', run, environment());
    await agent.line(/"agent started"/, START_MS);
    for (const [command, reply] of [
      ['#1 ping', '#1 ok pong'],
      // It is journalled, so the repeat is known.
      ['#2 processor', '#2 ok arm64'],
      ['#2 processor', '#2 repeat ok arm64'],
    ] as const) {
      await operator.send(command, { address, port: 6969 });
      expect((await operator.next()).bytes.toString()).toBe(reply);
    }
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);

    // The native part says it, and the processor would not run another's.
    const open = `require('${home}/node_modules/serialport').SerialPort.binding
      .open({ path: '/dev/null', baudRate: 115200 }).catch((error) => console.log(error.message))`;
    const opened = await runProcess('qemu-aarch64-static', [...node, '-e', open], environment());
    expect(opened).toEqual({ code: 0, output: expect.stringMatching(/ioctl|open/) });
  }, 180_000);
});
