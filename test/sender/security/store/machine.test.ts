import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { identifyMachine } from '../../../../sender/security/store/machine.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';

const ID = '0123456789abcdef0123456789abcdef';

describe('the identity of a machine', () => {
  it('is the same each time, another on another machine, and not the machine’s id itself', () => {
    const folder = temporaryFolder();
    const one = writeFile(folder, 'one', `${ID}\n`);
    const other = writeFile(folder, 'other', `${ID.replace('0', 'f')}\n`);
    const identity = identifyMachine({}, [join(folder, 'none'), one]);
    expect(identifyMachine({}, [one, other])).toBe(identity);
    expect(identifyMachine({}, [other])).not.toBe(identity);
    expect(identity).toMatch(/^[0-9a-f]{32}$/);
    expect(identity).not.toBe(ID);
  });

  it('is the one of the variable, where that is set', () => {
    const file = writeFile(temporaryFolder(), 'id', ID);
    const identity = identifyMachine({ SUPERSIM_MACHINE_ID: 'container' }, [file]);
    expect(identity).not.toBe(identifyMachine({ SUPERSIM_MACHINE_ID: '' }, [file]));
    expect(identity).toBe(identifyMachine({ SUPERSIM_MACHINE_ID: 'container' }, []));
  });

  it.each(['', 'uninitialized', '0'.repeat(32), ID.slice(1)])('is not taken from a file with %j', (content) => {
    const file = writeFile(temporaryFolder(), 'id', content);
    expect(() => identifyMachine({}, [file])).toThrowError(expect.objectContaining({ code: 'keys-unusable' }));
  });
});
