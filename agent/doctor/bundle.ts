import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';
import { isRecord } from '../../shared/format/value.js';
import { VERSION } from '../../shared/version.js';

import { printModemLog } from '../service/control/modem-log.js';
import type { Context } from './context.js';
import type { Report } from './examine.js';
import { createMask, type Mask, maskedConfig, maskTree, maskUnit } from './mask.js';
import { formatReport } from './report.js';
import { runProgram } from './run-program.js';
import { fromJson, UNIT } from './systemd-unit.js';

/** Limit of each file; the end of a longer one is kept. */
const MAX_FILE_BYTES = 512 * 1024;
const TAR_MS = 30_000;

/**
 * Writes an archive to attach to a bug report: the findings and the data behind them, without secrets and payloads.
 * Only its owner can read it.
 *
 * @param path of the archive; an existing file is not overwritten
 * @throws (rejects) SupersimError `bad-input` when it cannot be written
 */
export async function writeBundle(path: string, report: Report, context: Context): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    const exists = systemCodeOf(error) === 'EEXIST';
    throw new SupersimError(
      'bad-input',
      exists ? `${path} exists already` : `cannot write ${path}: ${messageOf(error)}`,
      {
        cause: error,
        remedy: exists
          ? 'Choose another file, or delete this one.'
          : 'Choose a file in a folder that you may write to.',
      },
    );
  });
  try {
    await archive(file.fd, await collectFiles(report, context), nameOf(report));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

const nameOf = ({ device, at }: Report): string =>
  `supersim-agent-${device.replaceAll(/[^A-Za-z0-9-]/g, '_')}-${at.slice(0, 19).replaceAll(/[^0-9T]/g, '')}`;

/** Returns the names and contents of the archive's files. */
async function collectFiles(report: Report, context: Context): Promise<Map<string, string>> {
  const mask = createMask(context.config, await readFile(context.file, 'utf8').catch(() => ''));
  const masked = maskReport(report, mask);
  const status = await context.status();
  const files: [string, string][] = [
    ['report.txt', `${formatReport(masked, false)}\n`],
    ['report.json', `${JSON.stringify(masked, null, 2)}\n`],
    ['status.json', status instanceof Error ? status.message : `${JSON.stringify(maskTree(status, mask), null, 2)}\n`],
    ['config.yaml', configText(context, mask)],
    ['log.txt', await serviceLog(context, mask)],
    ['modem.log', await modemLog(context)],
    ['unit.txt', maskUnit(await unitFile(), mask)],
    ['system.txt', mask(await system())],
    ['network.txt', mask(await network())],
  ];
  return new Map(files);
}

const configText = ({ config, configError }: Context, mask: Mask): string =>
  configError === undefined ? stringify(maskedConfig(config, mask)) : mask(configError.message);

const maskReport = (report: Report, mask: Mask): Report => ({
  ...report,
  findings: report.findings.map((finding) => ({
    ...finding,
    looked: mask(finding.looked),
    found: mask(finding.found),
    remedy: finding.remedy && mask(finding.remedy),
  })),
});

async function serviceLog({ unitLog }: Context, mask: Mask): Promise<string> {
  const { lines, failed } = await unitLog();
  const shown = lines.map(({ at, text }) => `${new Date(at).toISOString()} ${mask(withoutPayload(text))}\n`);
  return [...(failed === undefined ? [] : [`${failed}\n`]), ...shown].join('');
}

/** Hides payloads, which the agent logs at level `trace`. */
function withoutPayload(text: string): string {
  const line = fromJson(text);
  if (isRecord(line)) return JSON.stringify('hex' in line ? { ...line, hex: 'hidden' } : line);
  return text.replaceAll(/"?\bhex"?\s*[:=]\s*"?[0-9a-f]*"?/gi, 'hex: hidden');
}

async function modemLog({ ask }: Context): Promise<string> {
  const lines: string[] = [];
  try {
    await printModemLog(ask, (line) => lines.push(line));
  } catch (error) {
    lines.push(`${messageOf(error)}\n`);
  }
  return lines.join('');
}

const unitFile = (): Promise<string> => outputs([['systemctl', 'cat', UNIT, '--no-pager']]);

async function system(): Promise<string> {
  const versions = [
    `supersim-agent ${VERSION}`,
    `node ${process.version} ${process.arch}, ${process.execPath}`,
    `kernel ${release()}`,
    await readFile('/etc/os-release', 'utf8').catch(messageOf),
  ];
  const rest = await outputs([['systemctl', '--version'], ['uptime'], ['free'], ['df', '-h']]);
  return `${versions.join('\n')}\n${rest}`;
}

async function network(): Promise<string> {
  const programs = ['address', 'route', 'rule'].map((what) => ['ip', what]);
  const files = ['/proc/net/udp', '/proc/net/udp6', '/proc/sys/net/core/rmem_max'];
  const read = await Promise.all(
    files.map(async (file) => `# ${file}\n${await readFile(file, 'utf8').catch(messageOf)}`),
  );
  return [await outputs(programs), ...read].join('\n');
}

async function outputs(programs: readonly (readonly string[])[]): Promise<string> {
  const ran = programs.map(async ([file = '', ...args]) => {
    const { stdout, failed } = await runProgram(file, args);
    return [`# ${[file, ...args].join(' ')}`, stdout, failed ?? ''].join('\n');
  });
  return (await Promise.all(ran)).join('\n');
}

async function archive(target: number, files: ReadonlyMap<string, string>, name: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-doctor-'));
  try {
    await mkdir(join(folder, name), { mode: 0o700 });
    for (const [file, text] of files) {
      const bytes = Buffer.from(text);
      const kept = bytes.subarray(Math.max(0, bytes.length - MAX_FILE_BYTES));
      await writeFile(join(folder, name, file), kept, { mode: 0o600 });
    }
    await tar(target, folder, name);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function tar(target: number, folder: string, name: string): Promise<void> {
  const args = ['--create', '--gzip', '--owner=0', '--group=0', `--directory=${folder}`, name];
  const child = spawn('tar', args, { stdio: ['ignore', target, 'ignore'], timeout: TAR_MS, killSignal: 'SIGKILL' });
  const [code] = await once(child, 'close').catch((error: unknown) => [messageOf(error)]);
  if (code === 0) return;
  throw new SupersimError('bad-input', `cannot write the archive: tar exited with ${code}`, {
    remedy: 'Check that tar and gzip are installed and the disk has space.',
  });
}
