import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPorts } from '../../../../../agent/transport/modem/port/find-ports.js';
import { temporaryFolder } from '../../../../support/files.js';

/** A folder of devices, and of names for them. */
function devices(names: readonly string[], links: Readonly<Record<string, string>> = {}): string {
  const folder = temporaryFolder();
  for (const name of names) writeFileSync(join(folder, name), '');
  for (const [link, device] of Object.entries(links)) {
    mkdirSync(dirname(join(folder, link)), { recursive: true });
    symlinkSync(join(folder, device), join(folder, link));
  }
  return folder;
}

async function found(folder: string): Promise<string[][]> {
  return (await findPorts(folder)).map((paths) => paths.map((path) => relative(folder, path)));
}

describe('findPorts', () => {
  it('lists ports with a persistent name first, and the usual AT interface before the others', async () => {
    const names = {
      'serial/by-id/usb-GPS-if00': 'ttyACM0',
      'serial/by-id/usb-Quectel_EG25-G-if00-port0': 'ttyUSB0',
      'serial/by-id/usb-Quectel_EG25-G-if02-port0': 'ttyUSB2',
      'serial/by-id/usb-Quectel_EG25-G-if03-port0': 'ttyUSB3',
    };
    const folder = devices(['ttyUSB0', 'ttyUSB2', 'ttyUSB3', 'ttyACM0', 'ttyUSB10', 'tty', 'ttyS1', 'null'], names);
    expect(await found(folder)).toEqual([
      [
        'serial/by-id/usb-Quectel_EG25-G-if02-port0',
        'serial/by-id/usb-GPS-if00',
        'serial/by-id/usb-Quectel_EG25-G-if00-port0',
        'serial/by-id/usb-Quectel_EG25-G-if03-port0',
      ],
      ['ttyUSB10'],
    ]);
  });

  it('lists USB ports and UARTs, each once, where there are no persistent names', async () => {
    const folder = devices(['ttyUSB10', 'ttyUSB2', 'ttyACM0', 'ttyAMA0', 'ttyS0'], { serial0: 'ttyAMA0' });
    expect(await found(folder)).toEqual([[], ['ttyACM0', 'ttyUSB2', 'ttyUSB10', 'serial0', 'ttyS0']]);
  });

  it('lists nothing where there are no ports', async () => {
    expect(await found(temporaryFolder())).toEqual([[], []]);
    expect(await found('/nowhere')).toEqual([[], []]);
  });
});
