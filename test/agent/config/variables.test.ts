import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../agent/config/load.js';
import { listSettings } from '../../../agent/config/paths.js';
import { readVariables, variableName } from '../../../agent/config/variables.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

const load = (environment: Record<string, string>) =>
  loadConfig(writeFile(temporaryFolder(), 'empty.yaml', ''), [], environment);

describe('a SUPERSIM_AGENT_ variable', () => {
  it('exists for every scalar and list setting, and for no other', () => {
    expect(listSettings().map(({ path }) => variableName(path))).toEqual([
      'SUPERSIM_AGENT_DEVICE_ID',
      'SUPERSIM_AGENT_DEVICE_REBOOT',
      'SUPERSIM_AGENT_DEVICE_RESTART',
      'SUPERSIM_AGENT_LISTEN_ADDRESS',
      'SUPERSIM_AGENT_LISTEN_PORTS',
      'SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES',
      'SUPERSIM_AGENT_GATEWAY_ADDRESS',
      'SUPERSIM_AGENT_GATEWAY_PORT',
      'SUPERSIM_AGENT_LINK_POLICY',
      'SUPERSIM_AGENT_LINK_INTERFACE',
      'SUPERSIM_AGENT_LINK_DOWN_FOR',
      'SUPERSIM_AGENT_LINK_UP_FOR',
      'SUPERSIM_AGENT_MODEM_PATH',
      'SUPERSIM_AGENT_MODEM_DIALECT',
      'SUPERSIM_AGENT_MODEM_BAUD_RATE',
      'SUPERSIM_AGENT_MODEM_FLOW_CONTROL',
      'SUPERSIM_AGENT_MODEM_APN',
      'SUPERSIM_AGENT_MODEM_PIN',
      'SUPERSIM_AGENT_ALLOW',
      'SUPERSIM_AGENT_SECURITY_UNPROTECTED',
      'SUPERSIM_AGENT_SECURITY_REQUIRED',
      'SUPERSIM_AGENT_SECURITY_EXCEPT',
      'SUPERSIM_AGENT_SECURITY_KEYS',
      'SUPERSIM_AGENT_EVENTS_KEY',
      'SUPERSIM_AGENT_REPLY_TO',
      'SUPERSIM_AGENT_DEADLINE_UNSYNCHRONIZED',
      'SUPERSIM_AGENT_STATE_FOLDER',
      'SUPERSIM_AGENT_JOURNAL_KEEP',
      'SUPERSIM_AGENT_JOURNAL_ENTRIES',
      'SUPERSIM_AGENT_JOURNAL_BYTES',
      'SUPERSIM_AGENT_JOURNAL_IDENTITIES',
      'SUPERSIM_AGENT_OUTBOX_KEEP',
      'SUPERSIM_AGENT_OUTBOX_ENTRIES',
      'SUPERSIM_AGENT_OUTBOX_BYTES',
      'SUPERSIM_AGENT_LIMITS_RUNNING',
      'SUPERSIM_AGENT_LIMITS_WAITING',
      'SUPERSIM_AGENT_LIMITS_WAITING_BYTES',
      'SUPERSIM_AGENT_LIMITS_FROM_SIM_PER_HOUR',
      'SUPERSIM_AGENT_LIMITS_REPLIES_PER_SECOND',
      'SUPERSIM_AGENT_LIMITS_STOP',
      'SUPERSIM_AGENT_MODULES',
      'SUPERSIM_AGENT_CONTROL_SOCKET',
      'SUPERSIM_AGENT_METRICS_PORT',
      'SUPERSIM_AGENT_LOG_LEVEL',
    ]);
  });

  it('sets numbers, lists and objects in YAML', async () => {
    const config = await load({
      SUPERSIM_AGENT_LISTEN_PORTS: '[7000, {port: 7001, format: text}]',
      SUPERSIM_AGENT_LISTEN_RECEIVE_BUFFER_BYTES: '65536',
      SUPERSIM_AGENT_ALLOW: '[127.0.0.0/8, "::1/128"]',
      SUPERSIM_AGENT_GATEWAY_ADDRESS: '127.0.0.9',
      SUPERSIM_AGENT_LIMITS_STOP: '3s',
    });
    expect(config.listen.ports).toMatchObject([
      { port: 7000, format: 'auto' },
      { port: 7001, format: 'text' },
    ]);
    expect(config.listen.receiveBufferBytes).toBe(65_536);
    expect(config.allow).toEqual(['127.0.0.0/8', '::1/128']);
    expect(config.gateway.address).toBe('127.0.0.9');
    expect(config.limits.stop).toBe('3s');
  });

  it.each(['00123', '1e5', 'true', 'null', 'a: b', '[x', 'gate #1', '@home'])(
    'of a string setting is taken literally: %s',
    async (id) => {
      expect((await load({ SUPERSIM_AGENT_DEVICE_ID: id })).device.id).toBe(id);
    },
  );

  it('that is unknown is an error that names the nearest one', async () => {
    const read = (name: string) => readVariables({ [name]: '1' });
    await expect(read('SUPERSIM_AGENT_LOG_LEVLE')).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
    await expect(read('SUPERSIM_AGENT_LOG_LEVLE')).rejects.toThrow(
      /LOG_LEVLE; did you mean SUPERSIM_AGENT_LOG_LEVEL\?/,
    );
    await expect(read('SUPERSIM_AGENT_HANDLERS')).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
    await expect(read('SUPERSIM_AGENT_')).rejects.toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });

  it('with invalid YAML or a wrong type is an error that names it', async () => {
    await expect(load({ SUPERSIM_AGENT_ALLOW: '[1' })).rejects.toThrow('SUPERSIM_AGENT_ALLOW');
    await expect(load({ SUPERSIM_AGENT_ALLOW: 'everybody' })).rejects.toThrow('SUPERSIM_AGENT_ALLOW: allow.0: ');
    await expect(load({ SUPERSIM_AGENT_GATEWAY_PORT: 'x' })).rejects.toThrow(
      'SUPERSIM_AGENT_GATEWAY_PORT: gateway.port: ',
    );
  });

  it('with a single value for a list setting is a list of one', async () => {
    expect((await load({ SUPERSIM_AGENT_ALLOW: '127.0.0.0/8' })).allow).toEqual(['127.0.0.0/8']);
    expect((await load({ SUPERSIM_AGENT_LISTEN_PORTS: '7000' })).listen.ports).toMatchObject([{ port: 7000 }]);
  });

  it('that is empty is ignored', async () => {
    expect((await load({ SUPERSIM_AGENT_GATEWAY_PORT: '' })).gateway.port).toBe(6969);
    expect((await loadConfig(undefined, [], { SUPERSIM_AGENT_CONFIG: '' })).gateway.port).toBe(6969);
  });

  it('with another prefix is ignored', async () => {
    expect(await readVariables({ SUPERSIM_AUTH_TOKEN: 'x', PATH: '/bin', SUPERSIM_AGENT_CONFIG: '/x' })).toEqual([]);
  });
});
