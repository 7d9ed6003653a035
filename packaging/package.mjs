/** Builds the agent's Debian packages from dist/: `node packaging/package.mjs FOLDER ARCHITECTURE [ARCHITECTURE ...]`. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { licensesOf } from '../scripts/licenses.mjs';
import { bashCompletion } from './completion.mjs';
import { commandPage, configurationPage } from './man.mjs';
import { copyNative } from './native.mjs';

/** Debian's architectures, with their names in the packages with native parts. */
const ARCHITECTURES = {
  arm64: { libsql: 'linux-arm64-gnu', serialport: 'linux-arm64' },
  armhf: { libsql: 'linux-arm-gnueabihf', serialport: 'linux-arm' },
  amd64: { libsql: 'linux-x64-gnu', serialport: 'linux-x64' },
};

const HOME = 'usr/lib/supersim-agent';
const DOC = 'usr/share/doc/supersim-agent';
const PROGRAM = 'dist/bin/supersim-agent.js';
/** Entry points for the device: the program, and what JavaScript handlers import. */
const ENTRY_POINTS = [PROGRAM, 'dist/agent/index.js', 'dist/shared/index.js'];
const CONFFILE = 'etc/supersim-agent/config.yaml';

/** Destinations of the files of systemd/, by the ends of their names. */
const PLACES = {
  'config.yaml': () => CONFFILE,
  'nftables-supersim-agent.conf': () => 'usr/lib/systemd/system/nftables.service.d/supersim-agent.conf',
  '.service': (name) => `usr/lib/systemd/system/${name}.service`,
  '.socket': (name) => `usr/lib/systemd/system/${name}.socket`,
  '.sysusers.conf': (name) => `usr/lib/sysusers.d/${name}.conf`,
  '.modules-load.conf': (name) => `usr/lib/modules-load.d/${name}.conf`,
  '.sysctl.conf': (name) => `usr/lib/sysctl.d/60-${name}.conf`,
  '.rules': (name) => `usr/lib/udev/rules.d/${name}.rules`,
};
/** The operator enables it by `supersim-agent secure`. */
const OPTIONAL_UNIT = 'supersim-agent-interface.service';
/** Files that are copied unchanged. */
const DOCUMENTS = {
  'README.md': `${DOC}/README.md`,
  'CHANGELOG.md': `${DOC}/CHANGELOG.md`,
  docs: `${DOC}/docs`,
};
/** Modes other than 0644. */
const MODES = {
  // May hold secrets; postinst sets the agent's group, which exists only then.
  [CONFFILE]: 0o640,
  [`${HOME}/${PROGRAM}`]: 0o755,
};
/** Intended exceptions from lintian's rules. */
const LINTIAN_OVERRIDES = `# It may hold the SIM's PIN and secrets of handlers.
supersim-agent: non-standard-file-perm 0640 != 0644 [${CONFFILE}]
`;
const MAINTAINER_SCRIPTS = ['postinst', 'prerm', 'postrm'];

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const { version } = manifest;
const [maintainer, committed] = execFileSync('git', ['log', '-1', '--format=%an <%ae>%n%ct'], { encoding: 'utf8' })
  .trim()
  .split('\n');
/** The commit's time: the same commit makes the same packages. */
const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? committed);
const date = new Date(epoch * 1000);

async function makePackage(folder, architecture, scripts) {
  const names = ARCHITECTURES[architecture];
  if (names === undefined)
    throw new Error(`unknown architecture ${architecture}: use one of ${Object.keys(ARCHITECTURES).join(', ')}`);
  const tree = mkdtempSync(join(tmpdir(), 'supersim-agent-deb-'));
  try {
    for (const file of scripts) cpSync(file, join(tree, HOME, file));
    for (const [from, to] of Object.entries(DOCUMENTS)) cpSync(from, join(tree, to), { recursive: true });
    const units = copySettings(tree);
    copyNative(join(tree, HOME), names);
    await writeMade(tree, scripts);
    setModes(tree);
    writeControl(tree, architecture, units);
    const file = join(folder, `supersim-agent_${version}_${architecture}.deb`);
    // One thread: the number of threads changes the output of xz.
    const options = ['--root-owner-group', '-Zxz', '--threads-max=1', '--build', tree, file];
    await promisify(execFile)('dpkg-deb', options, { env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) } });
    console.log(file);
  } finally {
    rmSync(tree, { recursive: true });
  }
}

/** All that the entry points lead to: files of dist/, and of the packages that are not bundled. */
async function neededScripts() {
  const { metafile } = await build({
    entryPoints: ENTRY_POINTS,
    outdir: 'unwritten',
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    // What Node itself takes, not what bundlers prefer.
    conditions: [],
    logLevel: 'error',
  });
  const files = Object.keys(metafile.inputs);
  return [...files, ...packageFolders(files).map((folder) => join(folder, 'package.json'))];
}

const packageFolders = (files) =>
  [...new Set(files.map((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]))]
    .filter((folder) => folder !== undefined)
    .sort();

/**
 * Copies the files of systemd/.
 *
 * @returns the units to enable, without the optional one: sockets first, so that they exist when the agent starts
 */
function copySettings(tree) {
  const files = readdirSync('systemd').sort();
  for (const file of files) {
    const end = Object.keys(PLACES).find((ending) => file.endsWith(ending));
    if (end === undefined) throw new Error(`systemd/${file}: no destination in PLACES`);
    const target = join(tree, PLACES[end](file.slice(0, -end.length)));
    mkdirSync(dirname(target), { recursive: true });
    // npm installs the program below /usr/local.
    const text = readFileSync(join('systemd', file), 'utf8').replaceAll(
      '/usr/local/bin/supersim-agent',
      '/usr/bin/supersim-agent',
    );
    writeFileSync(target, text);
  }
  const units = files.filter(
    (file) => /\.(service|socket)$/.test(file) && !file.includes('@') && file !== OPTIONAL_UNIT,
  );
  return [...units.filter((unit) => unit.endsWith('.socket')), ...units.filter((unit) => unit.endsWith('.service'))];
}

async function writeMade(tree, scripts) {
  const write = (file, content) => {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), content);
  };
  const { name, license, type, exports } = manifest;
  const { types: _, ...own } = exports['.'];
  write(
    `${HOME}/package.json`,
    `${JSON.stringify({ name, version, license, type, exports: { '.': own } }, null, 2)}\n`,
  );
  // Debian's Node, whatever is first in PATH.
  const program = readFileSync(PROGRAM, 'utf8').replace('#!/usr/bin/env -S node ', '#!/usr/bin/node ');
  if (!program.startsWith('#!/usr/bin/node ')) throw new Error(`${PROGRAM} has another first line`);
  write(`${HOME}/${PROGRAM}`, program);
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  symlinkSync(join('../..', HOME, PROGRAM).replace('../../usr/', '../'), join(tree, 'usr/bin/supersim-agent'));
  write('usr/share/bash-completion/completions/supersim-agent', bashCompletion());
  const release = { version, date: date.toISOString().slice(0, 10) };
  write('usr/share/man/man1/supersim-agent.1.gz', gzip(commandPage(release)));
  write('usr/share/man/man5/supersim-agent.5.gz', gzip(configurationPage(release)));
  write(`${DOC}/changelog.gz`, gzip(changelog()));
  write(`${DOC}/NEWS.Debian.gz`, gzip(readFileSync('packaging/NEWS', 'utf8').replaceAll('@MAINTAINER@', maintainer)));
  write(`${DOC}/copyright`, await copyright(scripts));
  write('usr/share/lintian/overrides/supersim-agent', LINTIAN_OVERRIDES);
}

const gzip = (text) => gzipSync(text, { level: 9 });

const changelog = () =>
  `supersim-agent (${version}) unstable; urgency=medium

  * Version ${version}; see CHANGELOG.md in this folder.

 -- ${maintainer}  ${date.toUTCString().replace('GMT', '+0000')}
`;

/** Debian ships this licence on every system, and packages must not repeat it. */
const APACHE =
  /^ *Apache License\n *Version 2\.0[\s\S]*?END OF TERMS AND CONDITIONS\n(?:[\s\S]*?third-party archives\.\n)?/gm;
const APACHE_ON_DEBIAN = 'Apache License 2.0: /usr/share/common-licenses/Apache-2.0\n';

async function copyright(scripts) {
  const all = [
    'supersim-agent: MIT\n',
    readFileSync('LICENSE', 'utf8'),
    'It contains these npm packages, some of them bundled; libsql contains SQLite, which is in the',
    'public domain.\n',
    readFileSync('dist/LICENSES.txt', 'utf8'),
    `${'-'.repeat(80)}\n`,
    // The platform packages have no licence file of their own: they are built from the sources of libsql.
    await licensesOf([...packageFolders(scripts), 'node_modules/libsql']),
  ].join('\n');
  return all.replaceAll(APACHE, APACHE_ON_DEBIAN);
}

/** Sets the modes, whatever the build's file system has. */
function setModes(tree) {
  for (const entry of ['', ...readdirSync(tree, { recursive: true })]) {
    const file = join(tree, entry);
    const status = lstatSync(file);
    if (status.isDirectory()) chmodSync(file, 0o755);
    else if (status.isFile()) chmodSync(file, MODES[entry] ?? 0o644);
  }
}

function writeControl(tree, architecture, units) {
  const entries = readdirSync(tree, { recursive: true }).sort();
  const files = entries.filter((entry) => lstatSync(join(tree, entry)).isFile());
  const kibibytes = entries.map((entry) => {
    const status = lstatSync(join(tree, entry));
    return status.isFile() ? Math.ceil(status.size / 1024) : 1;
  });
  const control = join(tree, 'DEBIAN');
  mkdirSync(control, { mode: 0o755 });
  const write = (name, text) => writeFileSync(join(control, name), text, { mode: 0o644 });
  write(
    'control',
    `Package: supersim-agent
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${kibibytes.reduce((sum, size) => sum + size, 0)}
Depends: nodejs (${manifest.engines.node.replace('>=', '>= ')}), libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 5), systemd | systemd-standalone-sysusers | systemd-sysusers
Recommends: nftables
Section: net
Priority: optional
Description: agent for Super SIM IP Commands
 Runs commands on a gateway behind cellular NAT. The network forwards each
 Super SIM IP Command to the device as one UDP datagram; the agent listens for
 these, or has the modem receive them, runs the handler of the command, and
 sends the reply.
 .
 Commands that must not run twice are kept in a journal over crashes and power
 cuts. Handlers are programs, or modules written in JavaScript.
`,
  );
  write('conffiles', `/${CONFFILE}\n`);
  const sum = (file) =>
    createHash('md5')
      .update(readFileSync(join(tree, file)))
      .digest('hex');
  write(
    'md5sums',
    files
      .filter((file) => file !== CONFFILE)
      .map((file) => `${sum(file)}  ${file}\n`)
      .join(''),
  );
  for (const script of MAINTAINER_SCRIPTS) {
    const text = readFileSync(join('packaging', script), 'utf8')
      .replaceAll('@UNITS@', units.join(' '))
      .replaceAll('@OPTIONAL_UNIT@', OPTIONAL_UNIT);
    writeFileSync(join(control, script), text, { mode: 0o755 });
  }
}

// dpkg-deb rejects control files that are not world-readable.
process.umask(0o022);
const [folder, ...architectures] = process.argv.slice(2);
if (folder === undefined || architectures.length === 0)
  throw new Error('usage: package.mjs FOLDER ARCHITECTURE [ARCHITECTURE ...]');
mkdirSync(folder, { recursive: true });
const scripts = await neededScripts();
await Promise.all(architectures.map((architecture) => makePackage(folder, architecture, scripts)));
