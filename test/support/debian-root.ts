import { createHash } from 'node:crypto';
import { cachePath, makeOnce } from './cache.js';

const SUITE = 'trixie';
/** What the agent finds on a device, as far as the tests need it. */
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'nodejs', 'iproute2', 'nftables'];
const MAKE_MS = 300_000;

/** How long a hook may take that needs a root. */
export const ROOT_TIMEOUT_MS = MAKE_MS + 30_000;

const MAKE = `
set -e
[ ! -d "$ROOT" ] || exit 0
rm -rf "$ROOT.part"
mmdebstrap --quiet --variant="$VARIANT" \${ARCHITECTURE:+--architectures="$ARCHITECTURE"} --include="$PACKAGES" \
  --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$SUITE" "$ROOT.part"
mv "$ROOT.part" "$ROOT"
`;

interface Choice {
  /** Which of mmdebstrap's kinds it is. */
  readonly variant: string;
  /** Debian's name of it; of this machine by default. */
  readonly architecture?: string;
  readonly packages: readonly string[];
}

/**
 * The folder of a Debian 13 with systemd, made by mmdebstrap when it is asked for the first time (250 MB, from Debian's
 * mirrors) and kept in the user's cache; another list of packages makes another one. Nobody may write to it.
 */
export const systemdRoot = (): Promise<string> => makeRoot({ variant: 'minbase', packages: PACKAGES });

/** A folder with Debian 13's Node for arm64, for `qemu-aarch64-static -L`; made and kept in the same way (134 MB). */
export const arm64Root = (): Promise<string> =>
  makeRoot({ variant: 'extract', architecture: 'arm64', packages: ['base-files', 'nodejs'] });

/** A folder with Debian 13's programs of libcoap, of which the variant with OpenSSL speaks OSCORE. */
export const libcoapRoot = (): Promise<string> =>
  makeRoot({ variant: 'extract', packages: ['libcoap3-bin', 'libssl3t64', 'libc6'] });

async function makeRoot({ variant, architecture = '', packages }: Choice): Promise<string> {
  const variables = { SUITE, VARIANT: variant, ARCHITECTURE: architecture, PACKAGES: packages.join() };
  const digest = createHash('sha256')
    .update([...Object.values(variables), MAKE].join('\n'))
    .digest('hex')
    .slice(0, 12);
  const root = cachePath(`${SUITE}-${digest}`);
  return makeOnce(root, MAKE, { ...variables, ROOT: root }, MAKE_MS);
}
