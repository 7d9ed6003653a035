import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const SUITE = 'trixie';
/** What the agent finds on a device, as far as the tests need it. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'nodejs', 'iproute2'];
const MAKE_MS = 300_000;

/** `ROOT` is made by whoever comes first, under another name, so that half of one is never taken for a whole one. */
const MAKE = `
set -e
[ ! -d "$ROOT" ] || exit 0
rm -rf "$ROOT.part"
mmdebstrap --quiet --variant=minbase --include="$PACKAGES" \
  --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$SUITE" "$ROOT.part"
mv "$ROOT.part" "$ROOT"
`;

/**
 * The folder of a Debian 13 with systemd, made by mmdebstrap when it is asked for the first time (250 MB, from Debian's
 * mirrors) and kept in the user's cache; another list of packages makes another one. Nobody may write to it.
 */
export async function systemdRoot(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'supersim-agent-tests');
  const digest = createHash('sha256')
    .update([SUITE, ...PACKAGES, MAKE].join('\n'))
    .digest('hex')
    .slice(0, 12);
  const root = join(cache, `${SUITE}-${digest}`);
  if (existsSync(root)) return root;
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const variables = { ROOT: root, SUITE, PACKAGES: PACKAGES.join() };
  // Another process may be making it: the lock is waited for.
  await promisify(execFile)('flock', [`${root}.lock`, 'sh', '-c', MAKE], {
    env: { ...process.env, ...variables },
    timeout: MAKE_MS,
  });
  return root;
}
