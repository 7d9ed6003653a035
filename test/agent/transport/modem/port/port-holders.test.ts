import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, copyFileSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { formatHolder } from '../../../../../agent/base/file-holders.js';
import { isModemManager, portHolders } from '../../../../../agent/transport/modem/port/port-holders.js';
import { temporaryFolder } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { linkPath, openPty } from '../../../../support/pty.js';

const NOBODY = 65_534;

/** Starts a program of this name that only sleeps. */
async function runAs(name: string): Promise<number> {
  const program = join(temporaryFolder(), name);
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const child = spawn(program, ['60'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  return child.pid ?? 0;
}

describe.skipIf(needs('python3'))('portHolders', () => {
  it('finds other processes by the port’s name and by a link to it, without this process', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const own = openSync(pty.device, 'r+');
    onTestFinished(() => closeSync(own));
    for (const path of [link, pty.device]) {
      const holders = await portHolders(path);
      expect(holders).toMatchObject([{ pid: pty.pid, certain: true, command: expect.stringMatching(/^python/) }]);
      expect(holders.map(formatHolder)).toEqual([expect.stringContaining(`(pid ${pty.pid}`)]);
    }
  });

  it('finds none for a port that is not open or does not exist', async () => {
    expect(await portHolders('/dev/tty99')).toEqual([]);
    expect(await portHolders('/dev/nowhere')).toEqual([]);
  });

  it.skipIf(needs('root'))('lists ModemManager as possible where this user may not see open files', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const pid = await runAs('ModemManager');
    expect(await portHolders(link)).toMatchObject([{ pid: pty.pid }]);
    process.seteuid?.(NOBODY);
    const holders = await portHolders(pty.device).finally(() => process.seteuid?.(0));
    const suspect = holders.find((holder) => holder.pid === pid);
    expect(suspect).toMatchObject({ command: 'ModemManager', certain: false });
    expect(holders.filter(isModemManager).map(formatHolder)).toContainEqual(
      expect.stringMatching(`^perhaps ModemManager \\(pid ${pid}`),
    );
  });
});
