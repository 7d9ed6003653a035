import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { transform } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { resolveConfig } from '../../../agent/config/load.js';
import type { Loopback } from '../../../loopback/index.js';
import { parseKeyFile } from '../../../shared/oscore/key-file.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { program, runProcess, startProcess } from '../../support/process.js';
import { startTestLoopback } from '../../support/round-trip.js';
import { randomAddress } from '../../support/udp.js';

const GUIDE = readFileSync('docs/guides/keys.md', 'utf8');
/** The gateways that the guide names. The last one is not in its list. */
const GATEWAYS = ['gateway-1', 'gateway-7', 'gateway-21'];
const LISTED = GATEWAYS.slice(0, 2);

/** The blocks of the guide in one language, in order. */
const blocks = (language: string): string[] =>
  [...GUIDE.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, text = '']) => text);

/** The block of commands that begins so. */
function block(start: string): string {
  const found = blocks('sh').find((text) => text.startsWith(start));
  if (found === undefined) throw new Error(`the guide has no block that begins with ${start}`);
  return found;
}

/** What the guide's commands find on the way to a gateway: its files lie in a folder of its name. */
const STUBS = {
  // Runs the command as on the gateway: $1.
  ssh: 'ROOT="$GATEWAYS/$1" exec sh -c "$2"',
  sudo: 'exec "$@"',
  // Installs below $ROOT instead of /, and leaves owner and group alone.
  install: `last=; set -- "$@" end; while [ "$1" != end ]; do
    case $1 in -o|-g) shift 2; continue;; esac
    set -- "$@" "$1"; shift
  done; shift
  for last in "$@"; do :; done
  from=$(eval "echo \\\${$(($# - 1))}")
  exec /usr/bin/install -D -m 640 "$from" "$ROOT$last"`,
  chown: 'echo "chown $*" >> "$GATEWAYS/chowned"',
  'supersim-agent': `exec '${process.execPath}' '${program('supersim-agent')}' "$@" --socket "$ROOT/control.sock"`,
  supersim: `exec '${process.execPath}' '${program('supersim')}' "$@"`,
};

/** A shell with the guide's commands, in a folder of its own. */
function openShell({ url, clientId, clientSecret }: Loopback, gateways: string) {
  const [folder, bin] = [temporaryFolder(), temporaryFolder()];
  for (const [name, text] of Object.entries(STUBS)) writeScript(text, bin, name);
  const env = {
    PATH: `${bin}:${process.env['PATH']}`,
    GATEWAYS: gateways,
    XDG_CONFIG_HOME: join(folder, 'config'),
    SUPERSIM_API_URL: url,
    SUPERSIM_CLIENT_ID: clientId,
    SUPERSIM_CLIENT_SECRET: clientSecret,
    SUPERSIM_MACHINE_ID: 'the first machine',
  };
  async function run(commands: string, more: NodeJS.ProcessEnv = {}): Promise<string> {
    const { code, output } = await runProcess('sh', ['-c', `cd '${folder}' && set -e\n${commands}`], {
      ...env,
      ...more,
    });
    expect(code, output).toBe(0);
    return output;
  }
  return { folder, env, run };
}

/** Starts the agent of a gateway whose folder of keys is empty. */
async function startGateway({ gateway }: Loopback, address: string, root: string): Promise<void> {
  const keys = join(root, 'etc', 'supersim-agent', 'keys');
  mkdirSync(keys, { recursive: true, mode: 0o750 });
  const args = ['run', '--dev', '--address', address, '--gateway', `${gateway.address}:${gateway.port}`];
  const agent = startProcess(process.execPath, [program('supersim-agent'), ...args], {
    PATH: process.env['PATH'],
    SUPERSIM_AGENT_SECURITY_KEYS: keys,
    SUPERSIM_AGENT_STATE_FOLDER: join(root, 'state'),
    SUPERSIM_AGENT_CONTROL_SOCKET: join(root, 'control.sock'),
  });
  await agent.line(/"agent started"/);
}

async function startAll() {
  const sims = GATEWAYS.map((name) => ({ name, address: randomAddress() }));
  const loopback = await startTestLoopback({ sims });
  const gateways = temporaryFolder();
  await Promise.all(sims.map(({ name, address }) => startGateway(loopback, address, join(gateways, name))));
  const shell = openShell(loopback, gateways);
  writeFile(shell.folder, 'sims.csv', LISTED.map((name) => `${name}\n`).join(''));
  const outcomes = async () => {
    const lines = (await shell.run(`${block('supersim broadcast').trim()} 2> /dev/null || true\ncat health.csv`)).split(
      '\n',
    );
    return lines.filter((line) => /^gateway-/.test(line)).map((line) => line.replace(/^([^,]+,[^,]+),.*,/, '$1,'));
  };
  return { loopback, gateways, ...shell, outcomes };
}

const keyFilesOf = (gateways: string, name: string): string[] =>
  readdirSync(join(gateways, name, 'etc', 'supersim-agent', 'keys')).sort();

test('the commands of the guide give gateways their keys, replace them and revoke them', {
  timeout: 120_000,
}, async () => {
  const { gateways, folder, run, outcomes } = await startAll();
  const answered = LISTED.map((name) => `${name},done,true`);
  const again = () => rmSync(join(folder, 'keys'), { recursive: true });

  const made = await run(block('supersim keys new'));
  expect(made).toMatch(/\/etc\/supersim-agent\/keys\/operator-\d+-[0-9a-f]{4}\.json && sudo supersim-agent reload$/m);
  await run(block('for file in'));
  expect((await outcomes()).sort()).toEqual(answered);

  await run(block('supersim keys device --sim gateway-1 --allow'));
  expect(parseKeyFile(readFileSync(join(folder, 'gateway-1.json'), 'utf8')).allow).toEqual(['health', 'relay.*']);

  again();
  await run(block('supersim keys rotate\n'));
  await run(block('for file in').replace('operator-37-c0de', 'operator-38-c0de'));
  expect(keyFilesOf(gateways, 'gateway-1')).toEqual(['operator-37-c0de.json', 'operator-38-c0de.json']);
  expect(await run(block('supersim keys rotate --file'))).toContain('2 of 2 SIMs use their new key');
  expect((await outcomes()).sort()).toEqual(answered);
  const former = /^([0-9a-f]{16}) +\d+ +former/m.exec(await run('supersim keys ls'))?.[1] ?? '';
  expect(await run(block('supersim keys ls').replace('KEYID', former))).toContain(`revoked fleet key ${former}`);

  await run(block('supersim keys revoke --sim'));
  expect((await outcomes()).sort()).toEqual(['gateway-1,done,true', 'gateway-7,not-sent,false']);
  const another = /`(supersim keys device --sim gateway-7 --device [^`]+)`/.exec(GUIDE)?.[1] ?? '';
  await run(another);
  expect(parseKeyFile(readFileSync(join(folder, 'gateway-7.json'), 'utf8')).deviceId).toBe('gateway-7-2026');

  again();
  writeFile(folder, 'sims.csv', 'gateway-1\n');
  const copied = { SUPERSIM_MACHINE_ID: 'another machine' };
  const refused = 'supersim request --sim gateway-1 ping 2>&1 || true';
  expect(await run(refused, copied)).toContain('keys-copied');
  expect(await run(block('supersim keys operator --new'), copied)).toMatch(/operator-\d+-[0-9a-f]{4}\.json/);
  expect(await run(refused)).toContain('keys-copied');
});

test('the commands of the guide put a key into an image', async () => {
  const { folder, gateways, run } = await startAll();
  const image = temporaryFolder();
  mkdirSync(join(image, 'etc'));
  writeFileSync(join(image, 'etc', 'group'), 'root:x:0:\nsupersim-agent:x:991:\n');
  await run('supersim keys new');
  await run(block('supersim keys device --sim gateway-21').replaceAll('/mnt/', `${image}/`));
  const path = join(image, 'etc', 'supersim-agent', 'keys', 'operator-37-c0de.json');
  expect(readFileSync(path, 'utf8')).toBe(readFileSync(join(folder, 'gateway-21.json'), 'utf8'));
  expect(readFileSync(join(gateways, 'chowned'), 'utf8')).toBe(`chown root:991 ${path}\n`);
});

test('the configuration in the guide is valid', () => {
  for (const text of blocks('yaml')) expect(resolveConfig(parse(text)).events.key).toBe('operator-37-c0de');
});

test('the program in the guide asks a gateway with its key', async () => {
  const { env, run } = await startAll();
  await run(block('supersim keys new'));
  await run(block('for file in'));
  const [text = ''] = blocks('ts');
  const { code } = await transform(text, { loader: 'ts', format: 'esm' });
  // In the project, so that the package finds itself by its name.
  const file = resolve(`dist/guide-${process.pid}.mjs`);
  onTestFinished(() => rmSync(file, { force: true }));
  writeFileSync(file, `${code}\nconsole.log(result);\n`);
  const { code: exit, output } = await runProcess(process.execPath, [file], env);
  expect(output).toMatch(/outcome: 'refused'[\s\S]*code: 'unknown-command'[\s\S]*authentic: true/);
  expect(exit).toBe(0);
});
