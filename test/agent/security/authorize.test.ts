import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import type { ConfigInput } from '../../../agent/config/schema.js';
import { restartHandlers } from '../../../agent/handlers/builtin/restart.js';
import type { Handler } from '../../../agent/handlers/handler.js';
import { compileHandler } from '../../../agent/handlers/registry.js';
import { socketHandler } from '../../../agent/handlers/socket.js';
import { type Caller, createAccess, describeSecurity } from '../../../agent/security/authorize.js';
import type { DeviceKey } from '../../../agent/security/key-file.js';
import { testKey } from '../../support/security.js';

const KEY = testKey();
const ANYONE: Caller = { kind: 'anyone', port: 5683 };
const OPEN_PORT: Caller = { kind: 'anyone', port: 7000 };
const PORTS: NonNullable<ConfigInput['listen']>['ports'] = [5683, { port: 7000, unprotected: 'allow' }];

interface Setup {
  readonly security?: ConfigInput['security'];
  readonly keys?: readonly DeviceKey[];
  /** Whether there are key files that cannot be used. */
  readonly hasBroken?: boolean;
}

function accessWith({ security, keys = [], hasBroken = false }: Setup) {
  const config = resolveConfig({ security, listen: { ports: PORTS } });
  const hasKeys = hasBroken || keys.length > 0;
  return createAccess(() => ({ security: config.security, ports: config.listen.ports, keys, hasKeys }));
}

const handlerOf = (name: string): Handler => compileHandler({ name, description: '', run: () => 1 });
const look = handlerOf('look');
const socket = socketHandler('update', {
  socket: '/run/update.sock',
  description: '',
  safe: false,
  idempotent: false,
  timeout: '30s',
  outputBytes: 100,
});
const reboot: [Handler, boolean][] = restartHandlers({ device: { id: 'a' } }).map((handler) => [handler, true]);

describe('an unprotected request', () => {
  it.each<[Handler, boolean]>([...reboot, [socket, true], [look, false]])(
    'for $name needs a policy that allows it, on an open port too: %s',
    (handler, needed) => {
      const codes = [ANYONE, OPEN_PORT].map((caller) => accessWith({}).authorize(handler, caller)?.code);
      expect(codes).toEqual(Array(2).fill(needed ? 'authentication-required' : undefined));
      expect(accessWith({ security: { unprotected: 'allow' } }).authorize(handler, ANYONE)).toBeUndefined();
      const withKey = accessWith({ keys: [KEY] }).authorize(handler, OPEN_PORT);
      expect(withKey?.code).toBe(needed ? 'authentication-required' : undefined);
    },
  );

  it.each<[string, Setup, boolean]>([
    ['runs a command while there is no key', {}, true],
    ['is refused as soon as there is a key', { keys: [KEY] }, false],
    ['is refused where the only key cannot be used', { hasBroken: true }, false],
    ['is refused without a key where protection is required', { security: { required: true } }, false],
    [
      'runs a command although there is a key, where protection is not required',
      { security: { required: false }, keys: [KEY] },
      true,
    ],
    ['runs an excepted command', { security: { except: ['look'] }, keys: [KEY] }, true],
    ['is refused where other commands are excepted', { security: { except: ['ping'] }, keys: [KEY] }, false],
  ])('%s', (_, setup, isAllowed) => {
    const access = accessWith(setup);
    expect(access.authorize(look, ANYONE) === undefined).toBe(isAllowed);
    expect(access.isOpen(5683, ['look'])).toBe(isAllowed);
    expect(access.authorize(look, OPEN_PORT)).toBeUndefined();
  });

  it('gets no list of commands, and no word on which there are', () => {
    const access = accessWith({ security: { except: ['look'] }, keys: [KEY] });
    expect(access.authorize(undefined, ANYONE)?.code).toBe('authentication-required');
    expect(access.authorize(undefined, OPEN_PORT)).toBeUndefined();
  });

  it('for several commands is open only where each of them is', () => {
    const access = accessWith({ security: { except: ['look'] }, keys: [KEY] });
    expect([['look'], ['look', 'look'], ['look', 'move'], []].map((names) => access.isOpen(5683, names))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('the holder of a key', () => {
  it.each<[allow: string[] | undefined, allowed: string[], refused: string[]]>([
    [undefined, ['look', 'relay.set', 'device.reboot'], []],
    [
      ['look', 'relay.*'],
      ['look', 'relay.set', 'relay.set.all'],
      ['relay', 'relays.set', 'looks', 'device.reboot'],
    ],
    [[], [], ['look', 'ping']],
  ])('may call %j', (allow, allowed, refused) => {
    const key = testKey({ allow });
    const access = accessWith({ keys: [key] });
    const codeOf = (name: string) => access.authorize(handlerOf(name), { kind: 'key', key, number: 1 })?.code;
    expect(allowed.map(codeOf)).toEqual(allowed.map(() => undefined));
    expect(refused.map(codeOf)).toEqual(refused.map(() => 'forbidden'));
  });

  it('may have commands run that need authentication', () => {
    const access = accessWith({ keys: [KEY] });
    for (const [handler] of [...reboot, [socket]] as const) {
      expect(access.authorize(handler, { kind: 'key', key: KEY, number: 1 })).toBeUndefined();
    }
  });

  it('may do nothing any more when the key was taken away', () => {
    const access = accessWith({ keys: [testKey({ kid: 2 })] });
    expect(access.authorize(look, { kind: 'key', key: KEY, number: 1 })?.code).toBe('forbidden');
    expect(access.authorize(undefined, { kind: 'key', key: KEY, number: 1 })?.code).toBe('forbidden');
  });
});

describe('the description of a device’s security', () => {
  it.each([
    [{ unprotected: 'refuse', required: false, keys: 0 }, /^commands are not authenticated.* are off$/],
    [{ unprotected: 'refuse', required: false, keys: 1 }, /^commands are not authenticated.* are off without a key$/],
    [{ unprotected: 'allow', required: false, keys: 0 }, /^commands are not authenticated.* are on /],
    [{ unprotected: 'refuse', required: true, keys: 1 }, /^only requests that are protected with the key /],
    [{ unprotected: 'refuse', required: true, keys: 0 }, /^only requests that are protected with one of 0 keys /],
  ] as const)('of %j says who may run commands', (summary, text) => {
    expect(describeSecurity(summary)).toMatch(text);
  });
});
