import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { programHandler } from '../../../agent/handlers/program.js';
import { findUserIds } from '../../../agent/handlers/user-ids.js';
import { openDescriptors, withDescriptors } from '../../support/descriptors.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { contextFor, markedProcesses, programConfig, runProgram, watchProcesses } from './support.js';

const FLOOD = 50_000_000;

watchProcesses();

/** Runs a script until it has made the file `started` in its folder, then ends it as a time-out would. */
async function abortOnceStarted(script: string): Promise<unknown> {
  const folder = temporaryFolder();
  const controller = new AbortController();
  const run = runProgram(
    [writeScript(script, folder)],
    { directory: folder },
    {},
    contextFor({}, controller.signal),
  ).catch((error: unknown) => error);
  await expect.poll(() => readdirSync(folder)).toContain('started');
  controller.abort();
  return run;
}

describe('output of a program handler', () => {
  it('is the reply without its last line break', async () => {
    expect(await runProgram([writeScript('printf "one\\ntwo\\n\\n"')])).toBe('one\ntwo\n');
    expect(await runProgram([writeScript('printf "dos\\r\\n"')])).toBe('dos');
    expect(await runProgram([writeScript('exit 0')])).toBe('');
  });

  it('is read from both pipes concurrently, and only its head is kept', async () => {
    const script = writeScript(`head -c ${FLOOD} /dev/zero >&2 & head -c ${FLOOD} /dev/zero; wait`);
    const result = await runProgram([script], { outputBytes: 1000 });
    expect(result).toEqual({ cut: true, bytes: FLOOD, head: '\0'.repeat(1000) });
  });

  it('does not block when stderr is flooded before or after stdout', async () => {
    expect(await runProgram([writeScript(`head -c ${FLOOD} /dev/zero >&2; echo done`)])).toBe('done');
    expect(await runProgram([writeScript(`echo done; exec 1>&-; head -c ${FLOOD} /dev/zero >&2`)])).toBe('done');
  });

  it.each([1, 2, 3, 4, 5, 6])('is cut at %i bytes without splitting a character', async (outputBytes) => {
    const result = await runProgram([writeScript('printf "a€😀z"')], { outputBytes });
    const kept = outputBytes < 4 ? 'a' : 'a€';
    expect(result).toEqual({ cut: true, bytes: 9, head: kept });
  });

  it('is not cut when it just fits', async () => {
    expect(await runProgram([writeScript('printf "a€😀z"')], { outputBytes: 9 })).toBe('a€😀z');
  });

  it('stays bytes with its last line break when it is not UTF-8', async () => {
    expect(await runProgram([writeScript("printf '\\377\\000\\200\\n'")])).toEqual(Buffer.from([0xff, 0, 0x80, 0x0a]));
  });

  it('is bytes however few of them are kept', async () => {
    const result = await runProgram([writeScript("printf 'a\\377\\376\\375'")], { outputBytes: 2 });
    expect(result).toEqual({ cut: true, bytes: 4, head: Buffer.from([0x61, 0xff]) });
  });

  it('is cut also when it is bytes', async () => {
    const result = await runProgram([writeScript("printf '\\377\\376\\375\\374\\373\\372'")], { outputBytes: 5 });
    expect(result).toEqual({ cut: true, bytes: 6, head: Buffer.from([255, 254, 253, 252, 251]) });
  });
});

/** Nothing of it has run, and the message has this. */
const unavailable = (text: string) => ({ code: 'handler-unavailable', message: expect.stringContaining(text) });

describe('a program handler that fails', () => {
  it('reports its exit code and the end of stderr', async () => {
    const script = writeScript(`echo out; yes ä | head -n 1000 >&2; echo 'the last words' >&2; exit 3`);
    const error = await runProgram([script]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    const message = String(error);
    expect(message).toMatch(/code 3: .*the last words$/s);
    expect(message).not.toContain('out');
    expect(Buffer.byteLength(message)).toBeLessThan(500);
  });

  it('reports the signal that killed it', async () => {
    await expect(runProgram([writeScript('kill -SEGV $$')])).rejects.toThrow('SIGSEGV');
  });

  it('reports parameters that are too long for its environment', async () => {
    const run = runProgram([writeScript('echo')], {}, { long: 'x'.repeat(200_000) });
    await expect(run).rejects.toMatchObject(unavailable('E2BIG'));
  });

  it('reports a missing program', async () => {
    const path = join(temporaryFolder(), 'absent');
    await expect(runProgram([path])).rejects.toMatchObject(unavailable(path));
  });

  it('reports a program that is not executable', async () => {
    const path = writeFile(temporaryFolder(), 'script.sh', '#!/bin/sh\n', 0o600);
    await expect(runProgram([path])).rejects.toMatchObject(unavailable('EACCES'));
  });

  it('reports a file without the name of its interpreter, which a shell would run', async () => {
    const folder = temporaryFolder();
    const path = writeFile(folder, 'script', `touch ${join(folder, 'ran')}\n`, 0o700);
    await expect(runProgram([path])).rejects.toMatchObject(unavailable('neither a script nor a binary'));
    const others = ['', '#!', '#! \n', `#!/${'x'.repeat(300)}\n`, `\x7fELF\ntouch ${join(folder, 'ran')}\n`];
    for (const [index, text] of others.entries()) {
      const other = writeFile(folder, `other-${index}`, text, 0o700);
      await expect(runProgram([other])).rejects.toMatchObject(unavailable('neither'));
    }
    expect(readdirSync(folder)).not.toContain('ran');
  });

  it('runs a script whose only line names its interpreter, without a line break', async () => {
    const path = writeFile(temporaryFolder(), 'script', '#!/bin/echo alone', 0o700);
    expect(await runProgram([path])).toBe(`alone ${path}`);
  });

  it('reports a program whose deadline has passed when it may start', async () => {
    const context = contextFor({ deadline: Math.floor(Date.now() / 1000) - 1 });
    const run = runProgram([writeScript('echo late')], {}, {}, context);
    await expect(run).rejects.toMatchObject({ code: 'expired' });
  });

  it('reports a folder and a named pipe, and does not wait for its writer', async () => {
    const folder = temporaryFolder();
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', ['-m', '700', pipe]);
    for (const path of [folder, pipe])
      await expect(runProgram([path])).rejects.toMatchObject(unavailable('not a file'));
  });

  it('reports a missing interpreter', async () => {
    const path = writeFile(temporaryFolder(), 'script', '#!/nowhere/interpreter\n', 0o700);
    await expect(runProgram([path])).rejects.toMatchObject(unavailable('ENOENT'));
  });

  it('reports a missing working directory', async () => {
    const run = runProgram([writeScript('echo')], { directory: '/nowhere/at/all' });
    await expect(run).rejects.toMatchObject(unavailable('/nowhere/at/all'));
  });

  it('refuses a program that others can write, checked before each run', async () => {
    const script = writeScript('echo fine');
    expect(await runProgram([script])).toBe('fine');
    chmodSync(script, 0o777);
    await expect(runProgram([script])).rejects.toMatchObject(unavailable('writable by other users'));
    chmodSync(script, 0o755);
    expect(await runProgram([script])).toBe('fine');
  });

  it('refuses a relative path', async () => {
    const config = programConfig({ program: ['bin/script'] });
    await expect(programHandler('tried', config)).rejects.toMatchObject({ code: 'handler-invalid' });
  });
});

describe.skipIf(needs('prlimit'))('a program handler without free file descriptors', () => {
  it('is busy however many there are, leaks none, and runs again', async () => {
    const script = writeScript('echo fine');
    expect(await runProgram([script])).toBe('fine');
    const before = openDescriptors(process.pid).length;
    for (let count = 0; count < 16; count++) {
      await withDescriptors(count, async () => {
        const busy = { code: 'busy', message: expect.stringContaining('EMFILE') };
        await expect(runProgram([script])).rejects.toMatchObject(busy);
      });
    }
    expect(await runProgram([script])).toBe('fine');
    expect(openDescriptors(process.pid)).toHaveLength(before);
  });
});

describe('a program handler that does not exit', () => {
  it('is sent SIGTERM at its timeout', async () => {
    expect(String(await abortOnceStarted('touch started; exec sleep 1000'))).toContain('SIGTERM');
  });

  it('is sent SIGKILL when it ignores SIGTERM', async () => {
    expect(String(await abortOnceStarted("trap '' TERM; touch started; exec sleep 1000"))).toContain('SIGKILL');
  });

  it('is killed with its children', async () => {
    const script = '(sleep 1000 & sleep 1001) & sleep 1002 & touch started; wait';
    expect(String(await abortOnceStarted(script))).toContain('SIGTERM');
  });

  it('is not started after its timeout', async () => {
    const folder = temporaryFolder();
    const script = writeScript('touch started', folder);
    const context = contextFor({}, AbortSignal.abort(new Error('too late')));
    await expect(runProgram([script], { directory: folder }, {}, context)).rejects.toThrow('too late');
    expect(existsSync(join(folder, 'started'))).toBe(false);
  });
});

describe('processes that a program handler leaves behind', () => {
  it('are killed without waiting for their pipes', async () => {
    expect(await runProgram([writeScript('sleep 1000 & echo replied')])).toBe('replied');
  });

  it('are sent SIGKILL when they ignore SIGTERM', async () => {
    const script = writeScript(
      "(trap '' TERM; touch started; exec sleep 1000) & while [ ! -e started ]; do :; done; echo replied",
    );
    expect(await runProgram([script], { directory: temporaryFolder() })).toBe('replied');
  });

  it('delay nothing even after setsid', async () => {
    const script = writeScript(
      "setsid sh -c 'echo $$ > escaped; exec sleep 1000' & while [ ! -s escaped ]; do :; done; echo replied",
    );
    const directory = temporaryFolder();
    expect(await runProgram([script], { directory })).toBe('replied');
    const pid = Number(readFileSync(join(directory, 'escaped'), 'utf8'));
    expect(markedProcesses()).toContain(pid);
    process.kill(pid, 'SIGKILL');
  });
});

describe('stdin of a program handler', () => {
  it('has the parameters as one line of JSON', async () => {
    const params = { on: true, channel: 2, args: ['a b'], wide: 2n ** 64n, bytes: new Uint8Array([255]), none: null };
    expect(await runProgram(['/bin/cat'], {}, params)).toBe(
      '{"on":true,"channel":2,"args":["a b"],"wide":"18446744073709551616","bytes":{"base64":"/w=="},"none":null}',
    );
  });

  it.each([10, 10_000_000])('need not be read, with %i characters', async (length) => {
    expect(await runProgram([writeScript('echo done')], {}, { long: ['x'.repeat(length)] })).toBe('done');
    expect(await runProgram([writeScript('exec 0<&-; echo done')], {}, { long: ['x'.repeat(length)] })).toBe('done');
  });

  it('may be closed by a program that has already exited', async () => {
    const script = writeScript('exit 0');
    const runs = Array.from({ length: 100 }, () => runProgram([script], {}, { long: ['x'.repeat(300_000)] }));
    expect(new Set(await Promise.all(runs))).toEqual(new Set(['']));
  });
});

describe('environment of a program handler', () => {
  const variables = async (environment: string[] | undefined, params: unknown = {}, context = contextFor()) => {
    const printed = String(
      await runProgram(['/usr/bin/env', '-0'], environment ? { environment } : {}, params, context),
    );
    const pairs = printed.split('\0').filter((entry) => entry !== '' && !entry.startsWith('MARK_OF_TEST='));
    return Object.fromEntries(
      pairs.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    );
  };

  it('has the command, the device, and parameters that are strings, numbers or booleans', async () => {
    const context = contextFor({ id: '7', name: 'relay.set', format: 'json', peer: 'gateway' });
    const params = { on: true, channel: 2, 'odd-näme.x': '$(reboot); `reboot`', list: [1], wide: 2n ** 64n };
    expect(await variables([], params, context)).toEqual({
      SUPERSIM_COMMAND: 'relay.set',
      SUPERSIM_FORMAT: 'json',
      SUPERSIM_PEER: 'gateway',
      SUPERSIM_DEVICE_ID: 'box-1',
      SUPERSIM_ID: '7',
      SUPERSIM_PARAM_ON: 'true',
      SUPERSIM_PARAM_CHANNEL: '2',
      SUPERSIM_PARAM_ODD_N_ME_X: '$(reboot); `reboot`',
      SUPERSIM_PARAM_WIDE: '18446744073709551616',
    });
  });

  it('numbers positional parameters', async () => {
    const context = contextFor({ params: { positional: ['2', 'on', [1]], named: {} } });
    expect(await variables([], { args: ['2', 'on', [1]] }, context)).toMatchObject({
      SUPERSIM_ARG_1: '2',
      SUPERSIM_ARG_2: 'on',
    });
  });

  it('has no NUL bytes of the ID and the parameters', async () => {
    const told = await variables([], { a: 'x\0y', 'b\0c': 'z', '': 'empty', __proto__: 1 }, contextFor({ id: 'i\0d' }));
    expect(told).toMatchObject({
      SUPERSIM_ID: 'id',
      SUPERSIM_PARAM_A: 'xy',
      SUPERSIM_PARAM_B_C: 'z',
      SUPERSIM_PARAM_: 'empty',
    });
  });

  it('is not changed by parameter names', async () => {
    const told = await variables(['LD_PRELOAD=', 'PATH=/bin'], {
      PATH: '/evil',
      LD_PRELOAD: '/evil',
      SUPERSIM_PEER: 'me',
    });
    expect(told).toMatchObject({ PATH: '/bin', LD_PRELOAD: '', SUPERSIM_PEER: '127.0.0.1:1' });
  });

  it('passes on and sets only the configured variables', async () => {
    vi.stubEnv('HANDED_ON', 'from the agent');
    vi.stubEnv('KEPT_BACK', 'secret');
    const told = await variables(['HANDED_ON', 'SET=a=b', 'EMPTY=', 'NOT_THERE']);
    expect(told).toMatchObject({ HANDED_ON: 'from the agent', SET: 'a=b', EMPTY: '' });
    expect(Object.keys(told).filter((name) => !name.startsWith('SUPERSIM_'))).toEqual(['HANDED_ON', 'SET', 'EMPTY']);
  });

  it('has no variable for a missing ID', async () => {
    expect(await variables([])).not.toHaveProperty('SUPERSIM_ID');
    expect(await variables([], {}, contextFor({ id: null }))).not.toHaveProperty('SUPERSIM_ID');
    expect(await variables([], {}, contextFor({ id: 0 }))).toMatchObject({ SUPERSIM_ID: '0' });
  });
});

describe.skipIf(process.platform !== 'linux')('a program handler when memory runs out', () => {
  it('is killed before the agent, and so is what it starts', async () => {
    const script = writeScript(
      `until [ "$(cat /proc/$$/oom_score_adj)" = 500 ]; do :; done; cat /proc/self/oom_score_adj`,
    );
    expect(await runProgram([script])).toBe('500');
    expect(readFileSync('/proc/self/oom_score_adj', 'utf8')).not.toBe('500\n');
  });
});

describe('arguments of a program handler', () => {
  it('are passed without a shell', async () => {
    const args = ['$(touch /tmp/never)', '; echo hi', '*', 'a b', '`id`', '-n', '$HOME'];
    const script = writeScript('for argument do printf "<%s>" "$argument"; done');
    expect(await runProgram([script, ...args])).toBe(args.map((argument) => `<${argument}>`).join(''));
  });

  it('begin with the configured path as argv[0]', async () => {
    const link = join(temporaryFolder(), 'reboot');
    symlinkSync('/bin/sh', link);
    expect(await runProgram([link, '-c', 'echo "$0"'])).toBe(link);
  });

  it('leave the working directory at / by default', async () => {
    expect(await runProgram([writeScript('pwd')])).toBe('/');
    const directory = temporaryFolder();
    expect(await runProgram([writeScript('pwd')], { directory })).toBe(directory);
  });
});

describe('a program handler on a raw port', () => {
  const raw = contextFor({ format: 'raw' });
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

  it('gets the datagram on stdin, and its output is sent unchanged', async () => {
    expect(await runProgram(['/bin/cat'], {}, everyByte, raw)).toEqual(everyByte);
    expect(await runProgram(['/bin/cat'], {}, Buffer.from('text\n'), raw)).toEqual(Buffer.from('text\n'));
  });

  it('has no variables for bytes', async () => {
    expect(String(await runProgram(['/usr/bin/env'], {}, everyByte, raw))).not.toContain('SUPERSIM_PARAM');
  });

  it('fails instead of sending cut output', async () => {
    await expect(runProgram(['/bin/cat'], { outputBytes: 255 }, everyByte, raw)).rejects.toThrow('256 bytes');
  });
});

describe('a program handler with a user', () => {
  it.skipIf(needs('root'))('runs with the user’s IDs and no group of root', async () => {
    const ids = (flag: string) => execFileSync('id', [flag, 'nobody']).toString().trim();
    const told = await runProgram(['/bin/sh', '-c', 'id -u; id -g; id -G'], { user: 'nobody' });
    expect(told).toBe([ids('-u'), ids('-g'), ids('-g')].join('\n'));
  });

  it.skipIf(needs('root'))('is refused when the agent is not root or the user is unknown', async () => {
    const noUser = programConfig({ program: ['/bin/true'], user: 'no-such-user' });
    await expect(programHandler('tried', noUser)).rejects.toMatchObject({ code: 'handler-invalid' });
    vi.spyOn(process, 'getuid').mockReturnValue(1000);
    onTestFinished(() => void vi.restoreAllMocks());
    await expect(findUserIds('nobody')).rejects.toMatchObject({ code: 'handler-invalid' });
  });
});

describe('safe and idempotent of a program handler', () => {
  it('are configured, and safe implies idempotent', async () => {
    const handler = (input: object) => programHandler('tried', programConfig({ program: ['/bin/true'], ...input }));
    expect(await handler({})).toMatchObject({ safe: false, idempotent: false, timeoutMs: 30_000 });
    expect(await handler({ safe: true, timeout: '2min' })).toMatchObject({ idempotent: true, timeoutMs: 120_000 });
    expect(await handler({ idempotent: true })).toMatchObject({ safe: false, idempotent: true });
  });
});
