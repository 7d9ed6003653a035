import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import { createMask, maskedConfig, maskTree, maskUnit } from '../../../agent/doctor/mask.js';

const config = resolveConfig({
  modem: { path: '/dev/ttyUSB2', pin: '4711' },
  handlers: {
    'relay.set': {
      program: [
        '/bin/relay',
        '--token',
        'argument-x',
        '--header',
        'Authorization: Bearer bearer-x',
        '--level',
        'warning',
      ],
      environment: ['PATH', 'API_TOKEN=xyz9', 'PLACE=harmless-looking', 'MODE=auto'],
    },
  },
});
const mask = createMask(config);

describe('createMask', () => {
  it.each([
    ['password=hunter2 user=joe', 'password=*** user=joe'],
    ['{"token":"abc","port":6969}', '{"token":"***","port":6969}'],
    ['DB_PASSWORD: "a b"', 'DB_PASSWORD: "***"'],
    ['curl --api-key abcdef --retry 3', 'curl --api-key *** --retry 3'],
    ['Authorization: Bearer abc.def', 'Authorization: ***'],
    ['https://joe:hunter2@example.com/x', 'https://joe:***@example.com/x'],
    ['SUPERSIM_AGENT_MODEM_PIN=1234', 'SUPERSIM_AGENT_MODEM_PIN=***'],
    ['AT+CPIN=4711, 14711 and 47110', 'AT+CPIN=***, 14711 and 47110'],
    ['it said harmless-looking to argument-x', 'it said *** to ***'],
  ])('%s', (text, hidden) => expect(mask(text)).toBe(hidden));

  it.each([
    ['the SIM asks for its PIN, and MODE=auto is a warning'],
    ['{"level":"warning","msg":"listening","address":"100.64.5.6","ports":[6969]}'],
    ['mapping=1 opinion=2 spinning: 3'],
  ])('keeps other text: %s', (text) => expect(mask(text)).toBe(text));

  it('maskedConfig masks by schema and by names', () => {
    const shown = JSON.stringify(maskedConfig(config, mask));
    for (const secret of ['4711', 'xyz9', 'harmless-looking', 'argument-x', 'bearer-x'])
      expect(shown).not.toContain(secret);
    expect(shown).toContain('"API_TOKEN=***"');
    expect(shown).toContain('"--level","warning"');
    expect(shown).toContain('/dev/ttyUSB2');
  });

  it('hides secrets of an invalid configuration', () => {
    const text = [
      'modem: { path: /dev/ttyUSB2, pni: x, "pin": "9876" }',
      'handlers:',
      '  a: { environment: [PATH, KEY=first-secret, "B=second secret, quoted"] }',
      '  b:',
      '    environment:',
      "      - 'C=third secret'",
      '      - MODE=auto',
    ].join('\n');
    const hide = createMask(resolveConfig({}), text);
    expect(hide('9876 first-secret second secret, quoted third secret auto')).toBe('*** *** *** *** auto');
  });

  it('takes linear time', () => {
    const long = `${'x'.repeat(50_000)} ${'token'.repeat(5000)} ${'"'.repeat(20_000)}${'a=b '.repeat(10_000)}`;
    const began = performance.now();
    createMask(config, long)(long);
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it('maskTree masks values of secret names', () => {
    expect(maskTree({ a: [{ apiKey: 'x' }, 'token=y'], secret: 'z', n: 1 }, mask)).toEqual({
      a: [{ apiKey: '***' }, 'token=***'],
      secret: '***',
      n: 1,
    });
  });

  it('maskUnit masks a unit file', () => {
    const unit = [
      '[Service]',
      'ExecStart=/usr/bin/supersim-agent run --token abc',
      'Environment=SUPERSIM_AGENT_LISTEN_ADDRESS=wwan0 "KEY=a b" \\',
      '  SUPERSIM_AGENT_MODEM_PIN=1234',
      'SetCredential=x:y',
    ].join('\n');
    expect(maskUnit(unit, mask).split('\n')).toEqual([
      '[Service]',
      'ExecStart=/usr/bin/supersim-agent run --token ***',
      'Environment=SUPERSIM_AGENT_LISTEN_ADDRESS=wwan0 KEY=*** SUPERSIM_AGENT_MODEM_PIN=***',
      'SetCredential=***',
    ]);
  });
});
