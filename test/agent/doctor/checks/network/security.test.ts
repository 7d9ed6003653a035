import { describe, expect, it } from 'vitest';
import { judgeSecurity, security } from '../../../../../agent/doctor/checks/network/security.js';
import { run } from '../../support.js';

describe('the check of who may command the device', () => {
  it.each([
    ['by default says that commands are not authenticated', 'refuse', [], ['note']],
    ['warns where everybody may reboot the device', 'allow', [], ['warning']],
    ['warns of that also where sockets are configured', 'allow', ['update'], ['warning']],
    ['warns of handlers that are configured and off', 'refuse', ['update', 'mount'], ['note', 'warning']],
  ] as const)('%s', (_name, unprotected, socketHandlers, severities) => {
    const judged = judgeSecurity({ unprotected, socketHandlers });
    expect(judged.map(({ severity }) => severity)).toEqual(severities);
    expect(judged[0]?.found).toContain('commands are not authenticated');
    if (judged.length === 2) expect(judged[1]?.found).toContain('update, mount');
  });

  it('reads the configuration', async () => {
    const handlers = { update: { socket: '/run/a.sock' }, read: { program: ['/bin/true'] } };
    expect(await run(security, { handlers })).toMatchObject([
      { check: 'security', severity: 'note' },
      { severity: 'warning', code: 'authentication-required', found: expect.stringMatching(/: update$/) },
    ]);
    expect(await run(security, { security: { unprotected: 'allow' } })).toMatchObject([{ severity: 'warning' }]);
  });
});
