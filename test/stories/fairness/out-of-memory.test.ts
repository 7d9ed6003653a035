import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { environment } from '../../agent/cli/support.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { limitMemory } from '../../support/memory-cgroup.js';
import { needs } from '../../support/needs.js';
import { program, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const UNIT = readFileSync('systemd/supersim-agent.service', 'utf8');
const [, SCORE = ''] = /^OOMScoreAdjust=(-\d+)$/m.exec(UNIT) ?? [];
const [, MEBIBYTES = ''] = /^MemoryMax=(\d+)M$/m.exec(UNIT) ?? [];

/** Starts 60 processes that take 12 MB each; fails when some were killed, and says how many. */
const HOG = `exec perl -e '
  my $size = 12e6;
  for (1 .. 60) {
    next if fork;
    my $memory = "x" x $size;
    sleep 3;
    exit 0;
  }
  my $killed = 0;
  while (wait != -1) { $killed++ if $? & 127 }
  die "$killed of 60 were killed\\n" if $killed;
  print "none was killed";
'`;

/** Gives a process the score of the service, where that is permitted, and its memory; then becomes the agent. */
const AS_SERVICE = `echo ${SCORE} 2>/dev/null >/proc/self/oom_score_adj; echo $$ >"$0/cgroup.procs"; exec "$@"`;

describe.skipIf(needs('root', 'memory cgroup'))(
  'a program whose children take more memory than the service has',
  () => {
    it('fails, as the kernel kills some of them, and the agent goes on', async () => {
      const group = limitMemory(Number(MEBIBYTES) * 2 ** 20);
      const peer = await openPeer();
      const device = { address: randomAddress(), port: 6969 };
      const config = {
        listen: { address: device.address, receiveBufferBytes: 65_536 },
        allow: ['127.0.0.0/8'],
        handlers: { hog: { program: [writeScript(HOG)] } },
      };
      // JSON is YAML.
      const file = writeFile(temporaryFolder(), 'config.yaml', JSON.stringify(config));
      const agentLine = [process.execPath, program('supersim-agent'), 'run', '--config', file];
      const agent = startProcess('sh', ['-c', AS_SERVICE, group, ...agentLine], environment());
      await agent.line(/"agent started"/);
      expect(String(await peer.ask('#1 hog', device))).toMatch(
        /^#1 error handler-failed .*code \d+: \d+ of 60 were killed/,
      );
      expect(String(await peer.ask('#2 ping', device))).toBe('#2 ok pong');
      expect(readFileSync(`${group}/cgroup.procs`, 'utf8').trim().split('\n')).toEqual([String(agent.pid)]);
    });
  },
);
