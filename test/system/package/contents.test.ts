import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.js';
import {
  ARCHITECTURES,
  type Architecture,
  buildPackages,
  PACKAGE_TIMEOUT_MS,
  packageFile,
  unpackPackage,
} from '../../support/package.js';
import { runProcess } from '../../support/process.js';

/** ELF's class and machine (`e_machine`) by Debian's name of the architecture. */
const ELF = {
  arm64: { bits: 64, machine: 183 },
  armhf: { bits: 32, machine: 40 },
  amd64: { bits: 64, machine: 62 },
} as const;

describe.skipIf(needs('dpkg-deb'))('the Debian packages', () => {
  let folder = '';
  const root = (architecture: Architecture) => join(folder, architecture);
  const files = (architecture: Architecture) =>
    readdirSync(root(architecture), { recursive: true, encoding: 'utf8' }).filter((file) => !file.startsWith('DEBIAN'));
  const read = (file: string, architecture: Architecture = 'amd64') => readFileSync(join(root(architecture), file));

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'supersim-test-'));
    await buildPackages(folder, ARCHITECTURES);
    for (const architecture of ARCHITECTURES)
      await unpackPackage(packageFile(folder, architecture), root(architecture));
  }, PACKAGE_TIMEOUT_MS);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(ARCHITECTURES)('for %s have native parts of that architecture and its C library only', (name) => {
    const native = files(name).filter((file) => file.endsWith('.node'));
    expect(native.filter((file) => file.includes('/@libsql/'))).toHaveLength(1);
    expect(native.filter((file) => file.includes('/@serialport/')).length).toBeGreaterThan(0);
    for (const file of native) {
      const bytes = read(file, name);
      expect(bytes.subarray(0, 4).toString('latin1'), file).toBe('\x7fELF');
      expect({ bits: bytes[4] === 2 ? 64 : 32, machine: bytes.readUInt16LE(18) }, file).toEqual(ELF[name]);
      expect(bytes.includes('\0libc.so.6\0'), file).toBe(true);
    }
  });

  it.each(ARCHITECTURES)('for %s depend on a C library that has the symbols of the native parts', (name) => {
    const native = files(name).filter((file) => file.endsWith('.node'));
    const needed = native.flatMap((file) => [
      ...read(file, name)
        .toString('latin1')
        .matchAll(/\0GLIBC_2\.(\d+)/g),
    ]);
    const [, declared] = /libc6 \(>= 2\.(\d+)\)/.exec(read('DEBIAN/control', name).toString()) ?? [];
    expect(Math.max(...needed.map(([, minor]) => Number(minor)))).toBe(Number(declared));
  });

  it('are reproducible', async () => {
    const again = join(folder, 'again');
    await buildPackages(again, ['amd64']);
    const [one, other] = [folder, again].map((from) =>
      createHash('sha256')
        .update(readFileSync(packageFile(from, 'amd64')))
        .digest('hex'),
    );
    expect(other).toBe(one);
  }, 60_000);

  it('have no file that others may write, one program, and a configuration that others may not read', () => {
    const modes = files('amd64').map((file) => ({ file, status: lstatSync(join(root('amd64'), file)) }));
    const regular = modes.filter(({ status }) => status.isFile());
    expect(regular.length).toBeGreaterThan(50);
    const others = regular.filter(({ status }) => (status.mode & 0o777) !== 0o644);
    expect(others.map(({ file, status }) => [file, (status.mode & 0o7777).toString(8)]).sort()).toEqual([
      ['etc/supersim-agent/config.yaml', '640'],
      ['usr/lib/supersim-agent/dist/bin/supersim-agent.js', '755'],
    ]);
    const folders = modes.filter(({ status }) => status.isDirectory());
    expect(new Set(folders.map(({ status }) => status.mode & 0o7777))).toEqual(new Set([0o755]));
    expect(read('usr/bin/supersim-agent').toString()).toMatch(/^#!\/usr\/bin\/node /);
  });

  it('leave out the sender and the loopback', () => {
    const names = files('amd64').join('\n');
    expect(names).toContain('dist/agent/index.js');
    expect(names).not.toMatch(/dist\/(sender|loopback|types)|supersim\.js|start\.js/);
  });

  it('announce breaking changes in NEWS.Debian', () => {
    const news = gunzipSync(read('usr/share/doc/supersim-agent/NEWS.Debian.gz')).toString();
    expect(news).toMatch(/^supersim-agent \(\d+\.\d+\.\d+\) unstable; urgency=medium\n\n {2}/);
    expect(news).toMatch(/^ -- .+ <.+@.+> {2}/m);
    expect(read('usr/share/doc/supersim-agent/CHANGELOG.md').toString()).toContain('## 0.2.0');
  });

  it('include the licences of bundled packages', () => {
    const copyright = read('usr/share/doc/supersim-agent/copyright').toString();
    const modules = files('amd64').filter((file) => /node_modules\/.*package\.json$/.test(file));
    expect(modules.length).toBeGreaterThan(10);
    for (const file of modules.filter((name) => !name.includes('/linux-'))) {
      const { name, version } = JSON.parse(read(file).toString());
      expect(copyright).toContain(`\n${name} ${version}: `);
    }
    expect(copyright).toMatch(/\nlibsql [\d.]+: MIT\n\nThe MIT License/);
  });

  it.skipIf(needs('lintian')).each(ARCHITECTURES)(
    'for %s pass lintian',
    async (name) => {
      const lintian = ['--allow-root', '--tag-display-limit=0', '--fail-on=error,warning', packageFile(folder, name)];
      expect(await runProcess('lintian', lintian)).toEqual({ code: 0, output: '' });
    },
    60_000,
  );

  it.skipIf(needs('man')).each(['1', '5'])('have a manual page in section %s that renders', async (section) => {
    const page = join(root('amd64'), `usr/share/man/man${section}/supersim-agent.${section}.gz`);
    const env = { PATH: process.env['PATH'], LANG: 'C.UTF-8', MANWIDTH: '80' };
    const { code, output } = await runProcess('man', ['--warnings', '--local-file', page], env);
    expect(code).toBe(0);
    expect(output).not.toMatch(/: (?:warning|error): /);
    expect(output).toContain(section === '1' ? 'supersim-agent modem replay <file>' : 'link.interface');
    expect(output.split('\n').length).toBeGreaterThan(100);
  });

  describe.skipIf(needs('bash'))('bash completion', () => {
    const complete = async (...line: string[]) => {
      const script = `source "$1"
        [[ $(complete -p supersim-agent) == *'-F _supersim_agent supersim-agent' ]] || exit
        COMP_WORDS=("\${@:2}") COMP_CWORD=$(($# - 2))
        _supersim_agent supersim-agent "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      const file = join(root('amd64'), 'usr/share/bash-completion/completions/supersim-agent');
      const { code, output } = await runProcess('bash', ['-c', script, 'bash', file, 'supersim-agent', ...line]);
      expect(code).toBe(0);
      return output.split('\n');
    };

    it('completes commands and subcommands', async () => {
      expect(await complete('')).toEqual(expect.arrayContaining(['run', 'status', 'modem', '--help']));
      expect(await complete('sta')).toEqual(['status']);
      expect(await complete('commands', '')).toEqual(expect.arrayContaining(['ls', 'show', 'cancel', 'purge']));
    });

    it('completes flags, also after values', async () => {
      expect(await complete('run', '--port', '7000', '--ga')).toEqual(['--gateway']);
      expect(await complete('commands', 'show', '17', '--j')).toEqual(['--json']);
    });

    it('completes values of flags, or file names', async () => {
      expect(await complete('modem', 'replay', '--dialect', 'sim')).toEqual(['simcom7600', 'simcom7080']);
      expect(await complete('run', '--config', '')).toEqual(['']);
    });
  });
});
