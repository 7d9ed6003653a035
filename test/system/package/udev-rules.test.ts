import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { runProcess } from '../../support/process.js';

/** With folders of its own for all that udev writes. */
const TEST = `
for folder in /etc/udev/rules.d /run/udev; do mkdir -p $folder && mount -t tmpfs tmpfs $folder || exit 1; done
cp "$0" /etc/udev/rules.d/
mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod /dev/ptmx c 5 2 || exit 1
exec udevadm test --action="$1" /sys/class/tty/ptmx
`;

const RULES = '78-supersim-modem.rules';

async function udev(rules: string, action = 'add'): Promise<string> {
  const file = writeFile(temporaryFolder(), RULES, rules);
  const { code, output } = await runProcess('unshare', ['--mount', 'sh', '-c', TEST, file, action]);
  expect(code).toBe(0);
  expect(output).toContain(`Reading rules file: /etc/udev/rules.d/${RULES}`);
  return output;
}

test.skipIf(needs('root', 'unshare', 'udevadm'))(
  'udev accepts the rules, which keep ModemManager away from the named port and from no other',
  async () => {
    const rules = readFileSync(join('systemd', RULES), 'utf8');
    // A mistake in a rule is told as `78-….rules:21 Invalid key`.
    const mistake = new RegExp(`${RULES}:\\d+ (?!LINK)`);
    const usual = await udev(rules);
    expect(usual).not.toMatch(mistake);
    expect(usual).not.toContain('ID_MM_PORT_IGNORE');
    const named = await udev(rules.replace('# KERNEL=="ttyAMA0"', 'KERNEL=="ptmx"'), 'bind');
    expect(named).not.toMatch(mistake);
    expect(named).toMatch(/^ID_MM_PORT_IGNORE=1$/m);
    expect(named).toMatch(/^DEVLINKS=\/dev\/supersim-modem$/m);
    expect(await udev(rules.replace('ENV{ID_MM', 'ENW{ID_MM'))).toMatch(mistake);
  },
);
