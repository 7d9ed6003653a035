import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import * as z from 'zod';
import { loadConfig, maskSecrets, parseConfig, resolveConfig } from '../../../agent/config/load.js';
import { configJsonSchema } from '../../../agent/config/paths.js';
import { stateFolderOf } from '../../../agent/config/schema.js';
import { type Override, parseYaml } from '../../../agent/config/source.js';
import { isSupersimError } from '../../../shared/errors.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

/** A file that says something of everything. */
const SAMPLE = `
device: { id: box-1 }
listen:
  address: wwan0
  ports:
    - 6969
    - { port: 7000, format: raw, handler: frames }
  receiveBufferBytes: 100000
gateway: { address: 100.64.0.1, port: 6969 }
link: { policy: modem, interface: wwan0, downFor: 5s, upFor: 2min }
modem: { path: /dev/serial/by-id/usb-if02, dialect: quectel, baudRate: 9600, flowControl: rtscts, apn: super, pin: "0123" }
allow: [100.64.0.0/10, "fd00::/8"]
reply: { to: source }
limits: { running: 4, waiting: 0, waitingBytes: 1300, stop: 0s }
handlers:
  disk.free:
    program: [/bin/df, -h]
    description: Free space
    safe: true
    idempotent: true
    timeout: 2min
    directory: /tmp
    environment: [PATH, TOKEN=secret]
    outputBytes: 1000
  packages.update: { socket: /run/packages.sock, timeout: 10min }
modules: [/etc/supersim-agent/relay.mjs]
log: { level: warn }
`;

const parse = (text: string, overrides: Override[] = []) => parseConfig(parseYaml('c.yaml', text), overrides);

/** The findings about a file, a line each. */
function findings(text: string, overrides: Override[] = []): string[] {
  try {
    parse(text, overrides);
  } catch (error) {
    if (isSupersimError(error, 'config-invalid') || isSupersimError(error, 'config-unreadable'))
      return error.message.split('\n');
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('returns all defaults without a file', () => {
    expect(parse('')).toEqual({
      device: { id: hostname() },
      listen: {
        address: 'auto',
        ports: [{ port: 6969, format: 'auto' }],
        receiveBufferBytes: 4_194_304,
      },
      gateway: { address: '100.64.0.1', port: 6969 },
      link: { policy: 'auto', downFor: '10s', upFor: '60s' },
      modem: { dialect: 'auto', baudRate: 115_200, flowControl: 'none', apn: 'super' },
      allow: ['100.64.0.0/10'],
      security: { unprotected: 'refuse', except: [] },
      events: {},
      reply: { to: 'auto' },
      deadline: { unsynchronized: 'refuse' },
      state: {},
      journal: { keep: '24h', entries: 10_000, bytes: 16_777_216, identities: 1_000_000 },
      outbox: { keep: '24h', entries: 1000, bytes: 524_288 },
      limits: {
        running: 16,
        waiting: 256,
        waitingBytes: 262_144,
        fromSimPerHour: 100_000,
        repliesPerSecond: 100,
        stop: '10s',
      },
      handlers: {},
      modules: [],
      control: {},
      metrics: {},
      log: { level: 'info' },
    });
  });

  it('returns the same for an empty file, only comments, and an empty object', () => {
    expect(parse('# nothing\n')).toEqual(parse(''));
    expect(resolveConfig({})).toEqual(parse(''));
    expect(resolveConfig(undefined)).toEqual(parse(''));
  });

  it.each([
    ['none', undefined],
    ['/srv/state', '/srv/state'],
    ['./none', './none'],
  ])('keeps the state in memory only where the folder is none: %s', (folder, expected) => {
    expect(stateFolderOf(parse(`state: { folder: ${folder} }`))).toBe(expected);
  });

  it('reads all settings of a file', () => {
    expect(parse(SAMPLE)).toMatchObject({
      listen: {
        ports: [
          { port: 6969, format: 'auto' },
          { port: 7000, format: 'raw', handler: 'frames' },
        ],
      },
      allow: ['100.64.0.0/10', 'fd00::/8'],
      handlers: { 'disk.free': { program: ['/bin/df', '-h'], timeout: '2min' } },
    });
  });

  it('resolves a complete configuration to itself', () => {
    const config = parse(SAMPLE);
    expect(resolveConfig(config)).toEqual(config);
  });
});

describe('loadConfig names an unknown key with its place and the nearest known key', () => {
  it.each([
    ['lissten:\n  address: auto', 'c.yaml:1:1: lissten is unknown; did you mean listen?'],
    ['listen:\n  adress: auto', 'c.yaml:2:3: listen.adress is unknown; did you mean address?'],
    ['log: {level: info, levle: warn}', 'c.yaml:1:20: log.levle is unknown; did you mean level?'],
    [
      'listen:\n  ports:\n    - 6969\n    - port: 7000\n      formt: text',
      'c.yaml:5:7: listen.ports.1.formt is unknown; did you mean format?',
    ],
    [
      'handlers:\n  disk.free:\n    program: [/bin/df]\n    timout: 1s',
      'c.yaml:4:5: handlers.disk.free.timout is unknown; did you mean timeout?',
    ],
  ])('%j', (text, finding) => {
    expect(findings(text)).toEqual([finding]);
  });

  it('each of several on a line of its own', () => {
    expect(findings('a: 1\nb: 2\nlog:\n  c: 3')).toEqual([
      expect.stringMatching(/^c\.yaml:4:3: log\.c is unknown/),
      expect.stringMatching(/^c\.yaml:1:1: a is unknown/),
      expect.stringMatching(/^c\.yaml:2:1: b is unknown/),
    ]);
  });
});

describe('loadConfig names an invalid value with its place', () => {
  it.each([
    ['a word for a section', 'listen: here', '1:1: listen: '],
    ['a list for the whole', '- 1', '1:1: the configuration: '],
    ['a word for the whole', 'hello', '1:1: the configuration: '],
    ['a port out of range', 'listen:\n  ports: [6969, 70000]', '2:17: listen.ports.1: must be a port from 1 to 65535'],
    ['a port that is no number', 'listen:\n  ports: [abc]', '2:11: listen.ports.0: must be a port from 1 to 65535'],
    ['a port in an object out of range', 'listen:\n  ports: [{port: 0}]', '2:12: listen.ports.0.port: Too small'],
    ['no ports', 'listen:\n  ports: []', '2:3: listen.ports: '],
    ['a port listed twice', 'listen:\n  ports: [1, 2, 1]', '2:3: listen.ports: a port is listed twice'],
    ['a raw port without a handler', 'listen:\n  ports: [{port: 1, format: raw}]', '2:11: listen.ports.0: a raw port'],
    ['a handler on another port', 'listen:\n  ports: [{port: 1, handler: a}]', '2:11: listen.ports.0: a raw port'],
    ['an unknown format', 'listen:\n  ports: [{port: 1, format: xml}]', '2:21: listen.ports.0.format: '],
    ['a host name as the gateway', 'gateway: {address: gw.example}', '1:11: gateway.address: must be an IPv4 or IPv6'],
    ['an address as a range', 'allow: [100.64.0.0/10, 10.0.0.1]', '1:24: allow.1: must be an address range'],
    ['an unknown level', 'log:\n  level: loud', '2:3: log.level: '],
    ['a duration without a unit', 'limits: {stop: 10}', '1:10: limits.stop: '],
    ['a duration too long', 'limits: {stop: 1h}', '1:10: limits.stop: must be a duration from 0s to 5min'],
    ['no program', 'handlers:\n  a:\n    safe: true', '2:3: handlers.a.program: '],
    ['an empty program', 'handlers:\n  a:\n    program: []', '3:5: handlers.a.program: '],
    ['a program that is a shell line', 'handlers: {a: {program: "df -h"}}', '1:16: handlers.a.program: '],
    ['a socket by its name alone', 'handlers: {a: {socket: a.sock}}', '1:16: handlers.a.socket: must be an absolute'],
    ['a socket too long', `handlers: {a: {socket: /${'a'.repeat(107)}}}`, '1:16: handlers.a.socket: is too long'],
    ['a user for a socket', 'handlers: {a: {socket: /a, user: a}}', '1:28: handlers.a.user is unknown'],
    ['a program and a socket', 'handlers: {a: {program: [/a], socket: /b}}', '1:31: handlers.a.socket is unknown'],
    [
      'a reboot by a word',
      'device: {reboot: now}',
      '1:10: device.reboot: must be a program and its arguments, or a socket',
    ],
    ['a reboot by a relative path', 'device: {reboot: [reboot]}', '1:10: device.reboot: must begin with an absolute'],
    [
      'a reboot by a relative socket',
      'device: {reboot: {socket: a}}',
      '1:19: device.reboot.socket: must be an absolute',
    ],
    ['a handler called ok', 'handlers:\n  ok: {program: [/bin/df]}', '2:3: handlers.ok: must be dotted words'],
    ['a handler with a space', 'handlers:\n  a b: {program: [/bin/df]}', '2:3: handlers.a b: must be dotted words'],
    [
      'no variable',
      'handlers: {a: {program: [/a], environment: [PATH, "A B"]}}',
      '1:51: handlers.a.environment.1: must be NAME',
    ],
    ['a module that is no path', 'modules: [5]', '1:11: modules.0: '],
    ['a PIN that is a number', 'modem: {path: /dev/ttyUSB2, pin: 4711}', '1:29: modem.pin: must be digits in quotes'],
    ['a PIN with letters', 'modem: {pin: "47a1"}', '1:9: modem.pin: must be 4 to 8 digits'],
    ['a modem by its name alone', 'modem: {path: ttyUSB2}', '1:9: modem.path: must be an absolute path'],
    ['an access point that would end its command', `modem: {apn: 'a"b'}`, '1:9: modem.apn: must be letters'],
    ['a dialect that nobody speaks', 'modem: {dialect: latin}', '1:9: modem.dialect: '],
    ['the policy modem without one', 'link: {policy: modem}', '1:8: link.policy: the policy modem needs modem.path'],
    ['an interface that is an address', 'link: {interface: "fe80::1"}', '1:8: link.interface: must be the name'],
    ['a time too short to tell', 'link: {downFor: 10ms}', '1:8: link.downFor: must be a duration from 1s to 1h'],
    ['a device without a name', 'device: {id: ""}', '1:10: device.id: '],
  ])('%s', (_what, text, finding) => {
    expect(findings(text)).toEqual([expect.stringContaining(`c.yaml:${finding}`)]);
  });

  it('a user, where the agent is not root', () => {
    vi.spyOn(process, 'getuid').mockReturnValue(1000);
    onTestFinished(() => void vi.restoreAllMocks());
    const text = 'handlers:\n  a:\n    program: [/a]\n    user: pi';
    expect(findings(text)).toEqual([expect.stringContaining('c.yaml:4:5: handlers.a.user: ')]);
  });

  it('the setting’s name alone, for an embedding program', () => {
    expect(() => resolveConfig({ log: { level: 'loud' } })).toThrow(/^the configuration: log\.level: /);
  });
});

describe('loadConfig rejects invalid YAML with the place', () => {
  it.each([
    ['a key given twice', 'log: {}\nlisten: {}\nlog: {}', 'c.yaml:3:1: '],
    ['a bracket that is not closed', 'allow: [1', 'c.yaml:1:'],
    ['a tab', 'log:\n\tlevel: info', 'c.yaml:2:1: '],
    ['two documents', 'log: {}\n---\nlog: {}', 'c.yaml:2:1: '],
    ['an alias of nothing', 'allow: *nothing', 'c.yaml'],
  ])('%s', (_what, text, place) => {
    const read = () => parse(text);
    expect(read).toThrow(expect.objectContaining({ code: 'config-unreadable' }));
    expect(read).toThrow(place);
  });

  it('aliases that expand to billions of entries, and endless nesting', () => {
    const levels = Array.from({ length: 20 }, (_, level) => {
      const above = level === 0 ? 'x' : `*a${level - 1}`;
      return `k${level}: &a${level} [${Array(10).fill(above).join(', ')}]`;
    });
    const unreadable = expect.objectContaining({ code: 'config-unreadable' });
    expect(() => parse(levels.join('\n'))).toThrow(unreadable);
    expect(() => parse('['.repeat(100_000))).toThrow(unreadable);
  });
});

describe('a configuration file', () => {
  it('is named by a flag or a variable', async () => {
    const folder = temporaryFolder();
    const one = writeFile(folder, 'one.yaml', 'device: {id: one}');
    const two = writeFile(folder, 'two.yaml', 'device: {id: two}');
    expect((await loadConfig(one, [], {})).device.id).toBe('one');
    expect((await loadConfig(undefined, [], { SUPERSIM_AGENT_CONFIG: two })).device.id).toBe('two');
    expect((await loadConfig(one, [], { SUPERSIM_AGENT_CONFIG: two })).device.id).toBe('one');
  });

  it('may have keys whose lines are all comments', async () => {
    const file = writeFile(
      temporaryFolder(),
      'c.yaml',
      'listen:\n  # address: wwan0\nhandlers:\nlog:\n  level: warn\n',
    );
    const config = await loadConfig(file, [], {});
    expect(config).toMatchObject({ listen: { address: 'auto' }, handlers: {}, log: { level: 'warn' } });
  });

  it('that the package ships is valid, with and without its comments', () => {
    const shipped = readFileSync('systemd/config.yaml', 'utf8');
    expect(parseConfig(parseYaml('config.yaml', shipped), [])).toEqual(resolveConfig({}));
    const settings = shipped.replaceAll(/^# ?(?=( *- | *[a-z][A-Za-z.]*:))/gm, '');
    const config = parseConfig(parseYaml('config.yaml', settings), []);
    expect(config).toMatchObject({ device: { id: 'gateway-17' }, modules: ['/etc/supersim-agent/handlers/relay.mjs'] });
    expect(config.handlers['relay.set']).toMatchObject({ idempotent: true, timeout: '10s' });
  });

  it('that is named must exist, be a file, and not be huge', async () => {
    const folder = temporaryFolder();
    const huge = writeFile(folder, 'huge.yaml', `# ${'x'.repeat(1_048_576)}`);
    for (const path of [`${folder}/absent.yaml`, folder, huge, '/dev/null/x']) {
      const read = () => loadConfig(path, [], {});
      await expect(read()).rejects.toThrow(expect.objectContaining({ code: 'config-unreadable' }));
      await expect(read()).rejects.toThrow(path);
    }
  });
});

describe('flags override variables, variables the file, the file the defaults', () => {
  const file = () => writeFile(temporaryFolder(), 'c.yaml', 'log: {level: warn}\nlisten: {address: 127.0.0.3}');
  const variable = { SUPERSIM_AGENT_LOG_LEVEL: 'debug' };
  const flag = { path: ['log', 'level'], value: 'trace', from: '--log-level' };

  it('for each setting that the former leaves out', async () => {
    expect((await loadConfig(file(), [flag], variable)).log.level).toBe('trace');
    expect((await loadConfig(file(), [], variable)).log.level).toBe('debug');
    expect((await loadConfig(file(), [], {})).log.level).toBe('warn');
    expect(parse('').log.level).toBe('info');
  });

  it('and other settings keep their values', async () => {
    expect((await loadConfig(file(), [flag], variable)).listen.address).toBe('127.0.0.3');
  });

  it('and an error names its origin', async () => {
    const loud = { ...flag, value: 'loud' };
    expect(findings('log: {level: loud}', [])).toEqual([expect.stringMatching(/^c\.yaml:1:7: log\.level: /)]);
    expect(findings('log: {level: info}', [loud])).toEqual([expect.stringMatching(/^--log-level: log\.level: /)]);
    await expect(loadConfig(undefined, [], { SUPERSIM_AGENT_LIMITS_RUNNING: '0' })).rejects.toThrow(
      /^SUPERSIM_AGENT_LIMITS_RUNNING: limits\.running: /,
    );
    expect(findings('lmits: {}', [flag])).toEqual([expect.stringMatching(/^c\.yaml:1:1: lmits is unknown/)]);
  });
});

describe('maskSecrets', () => {
  it('masks the environment values of programs', () => {
    const config = parse('handlers: {a: {program: [/a], environment: [PATH, TOKEN=s3cret, "PAIRS=a=s3cret", EMPTY=]}}');
    const shown = JSON.stringify(maskSecrets(config));
    expect(shown).toContain('["PATH","TOKEN=***","PAIRS=***","EMPTY=***"]');
    expect(shown).not.toContain('cret');
    expect(config.handlers['a']).toMatchObject({ environment: expect.arrayContaining(['TOKEN=s3cret']) });
    const modem = parse('modem: {path: /dev/ttyUSB2, pin: "4711"}');
    expect(maskSecrets(modem).modem).toMatchObject({ path: '/dev/ttyUSB2', pin: '***' });
    expect(modem.modem.pin).toBe('4711');
  });
});

describe('configJsonSchema', () => {
  /** zod reads it back, so that it is checked as any editor would check it. */
  const accepts = (text: string) => {
    const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(configJsonSchema())));
    return schema.safeParse(parseYaml('c.yaml', text).settings).success;
  };

  it('accepts what the agent accepts', () => {
    expect(accepts(SAMPLE)).toBe(true);
    expect(accepts('')).toBe(true);
  });

  it.each([
    'lissten: {}',
    'log: {levle: warn}',
    'log: {level: loud}',
    'listen: {ports: [{port: 1, formt: raw}]}',
    'listen: {ports: [70000]}',
    'handlers: {a: {program: [/a], timout: 1s}}',
    'handlers: {a: {}}',
  ])('refuses %s', (text) => {
    expect(accepts(text)).toBe(false);
  });

  it('describes every setting, and names no host', () => {
    const text = JSON.stringify(configJsonSchema());
    expect(text).not.toContain(hostname());
    expect(configJsonSchema()).toMatchObject({ type: 'object', additionalProperties: false });
  });
});
