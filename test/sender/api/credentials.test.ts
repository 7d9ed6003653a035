import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadCredentials, loadWebhookSecrets } from '../../../sender/index.js';
import { messageOf } from '../../../shared/errors.js';
import { rejection } from '../support.js';

const VARIABLES = { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'from-variables' };
const PROFILE = 'accountSid: AC2\nauthToken: from-profile\n';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'supersim-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function makeProfile(text: string | Uint8Array, mode = 0o600): Promise<string> {
  const path = join(await makeFolder(), 'profile.yaml');
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

/** A home with a default profile. */
async function makeHome(folder = '.config'): Promise<string> {
  const home = await makeFolder();
  await mkdir(join(home, folder, 'supersim'), { recursive: true });
  await writeFile(join(home, folder, 'supersim', 'profile.yaml'), PROFILE, { mode: 0o600 });
  return home;
}

describe('credentials in variables', () => {
  it('of Twilio are enough', async () => {
    expect(await loadCredentials({}, VARIABLES)).toEqual({ accountSid: 'AC1', authToken: 'from-variables' });
  });

  it('may name the API’s URL', async () => {
    const env = { ...VARIABLES, SUPERSIM_API_URL: 'http://127.0.0.1:8080' };
    expect(await loadCredentials({}, env)).toMatchObject({ baseUrl: 'http://127.0.0.1:8080' });
  });

  it('take precedence over the default profile', async () => {
    const env = { ...VARIABLES, HOME: await makeHome() };
    expect(await loadCredentials({}, env)).toMatchObject({ authToken: 'from-variables' });
  });

  it('of KORE are enough', async () => {
    const env = { SUPERSIM_CLIENT_ID: 'client', SUPERSIM_CLIENT_SECRET: 'from-variables' };
    expect(await loadCredentials({}, env)).toEqual({ clientId: 'client', clientSecret: 'from-variables' });
  });

  it('of both providers are refused', async () => {
    const env = { ...VARIABLES, SUPERSIM_CLIENT_ID: 'client', SUPERSIM_CLIENT_SECRET: 'secret' };
    expect(await rejection(loadCredentials({}, env))).toMatchObject({ code: 'bad-input' });
  });

  it.each([
    ['SUPERSIM_CLIENT_SECRET', { SUPERSIM_CLIENT_ID: 'client' }],
    ['SUPERSIM_AUTH_TOKEN', { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: '' }],
    ['SUPERSIM_ACCOUNT_SID', { SUPERSIM_AUTH_TOKEN: 'from-variables' }],
  ])('are not completed from a profile when %s is missing', async (name, variables) => {
    const env = { ...variables, HOME: await makeHome() };
    expect(await rejection(loadCredentials({}, env))).toMatchObject({
      code: 'no-credentials',
      message: expect.stringContaining(name),
    });
  });
});

describe('the default profile', () => {
  it('is in ~/.config', async () => {
    expect(await loadCredentials({}, { HOME: await makeHome() })).toEqual({
      accountSid: 'AC2',
      authToken: 'from-profile',
    });
  });

  it('is under XDG_CONFIG_HOME where that is set', async () => {
    const env = { HOME: await makeFolder(), XDG_CONFIG_HOME: join(await makeHome('xdg'), 'xdg') };
    expect(await loadCredentials({}, env)).toMatchObject({ authToken: 'from-profile' });
  });

  it('may be missing only with credentials in variables', async () => {
    const env = { HOME: await makeFolder() };
    expect(await rejection(loadCredentials({}, env))).toMatchObject({
      code: 'no-credentials',
      message: expect.stringContaining('profile.yaml'),
    });
  });
});

describe('a named profile', () => {
  it('takes precedence over the variables', async () => {
    const profile = await makeProfile(`${PROFILE}apiUrl: http://127.0.0.1:1`);
    expect(await loadCredentials({ profile }, VARIABLES)).toEqual({
      accountSid: 'AC2',
      authToken: 'from-profile',
      baseUrl: 'http://127.0.0.1:1',
    });
  });

  it('does not override SUPERSIM_API_URL', async () => {
    const profile = await makeProfile(`${PROFILE}apiUrl: http://127.0.0.1:1`);
    const env = { SUPERSIM_API_URL: 'http://127.0.0.1:2' };
    expect(await loadCredentials({ profile }, env)).toMatchObject({ baseUrl: 'http://127.0.0.1:2' });
  });

  it('must exist', async () => {
    const profile = join(await makeFolder(), 'none.yaml');
    expect(await rejection(loadCredentials({ profile }, VARIABLES))).toMatchObject({ code: 'no-credentials' });
  });

  it.each([0o600, 0o400])('may have mode %o', async (mode) => {
    const profile = await makeProfile(PROFILE, mode);
    expect(await loadCredentials({ profile }, {})).toMatchObject({ accountSid: 'AC2' });
  });

  it.each([0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o666, 0o700, 0o1600, 0o4600])(
    'may not have mode %o',
    async (mode) => {
      const profile = await makeProfile(PROFILE, mode);
      expect(await rejection(loadCredentials({ profile }, {}))).toMatchObject({
        code: 'profile-unsafe',
        message: expect.stringContaining(mode.toString(8)),
      });
    },
  );

  it('is checked behind a symbolic link', async () => {
    const link = join(await makeFolder(), 'link.yaml');
    await symlink(await makeProfile(PROFILE, 0o644), link);
    expect(await rejection(loadCredentials({ profile: link }, {}))).toMatchObject({ code: 'profile-unsafe' });
  });

  it('must not be a folder', async () => {
    expect(await rejection(loadCredentials({ profile: await makeFolder() }, {}))).toMatchObject({
      code: 'profile-unsafe',
    });
  });

  it('must not be a pipe, and is not waited for', async () => {
    const profile = join(await makeFolder(), 'pipe');
    execFileSync('mkfifo', ['-m', '600', profile]);
    expect(await rejection(loadCredentials({ profile }, {}))).toMatchObject({ code: 'profile-unsafe' });
  });

  it.each([
    ['no YAML', 'accountSid: AC2\nauthToken: [s3cret', 'line 2'],
    ['a token with a colon', 'accountSid: AC2\nauthToken: s3cret: x\n', 'line 2'],
    ['no map', 's3cret', 'object'],
    ['nothing', '', 'object'],
    ['no token', 'accountSid: AC2', 'authToken'],
    ['a number for a token', 'accountSid: AC2\nauthToken: 53', 'authToken'],
    ['an empty token', 'accountSid: AC2\nauthToken: ""', 'authToken'],
    ['an unknown key', `${PROFILE}authTokn: s3cret`, 'authTokn'],
    ['the same key twice', `${PROFILE}authToken: s3cret`, 'line 3'],
    ['an alias of nothing', 'accountSid: AC2\nauthToken: *s3cret', 'YAML'],
    ['more than is read', `${PROFILE}#${'s3cret'.repeat(11_000)}`, '65536'],
  ])('must not have %s; the error names the place, never the token', async (_, text, place) => {
    const profile = await makeProfile(text);
    const error = await rejection(loadCredentials({ profile }, {}));
    expect(error).toMatchObject({ code: 'bad-input', message: expect.stringContaining(place) });
    expect(messageOf(error)).not.toContain('s3cret');
  });
});

describe('the secrets of webhooks', () => {
  const KORE = 'clientId: client\nclientSecret: secret\nwebhookSecret: of-the-file\n';

  it.each<[string, NodeJS.ProcessEnv, object]>([
    ['KORE’s', { SUPERSIM_WEBHOOK_SECRET: 'a' }, { koreSecret: 'a' }],
    ['Twilio’s', VARIABLES, { twilioAuthToken: 'from-variables' }],
    ['both', { ...VARIABLES, SUPERSIM_WEBHOOK_SECRET: 'a' }, { koreSecret: 'a', twilioAuthToken: 'from-variables' }],
    [
      'KORE’s beside an API key',
      { SUPERSIM_ACCOUNT_SID: 'SK1', SUPERSIM_AUTH_TOKEN: 'b', SUPERSIM_WEBHOOK_SECRET: 'a' },
      { koreSecret: 'a', twilioAuthToken: undefined },
    ],
  ])('are by the variables: %s', async (_, env, secrets) => {
    expect(await loadWebhookSecrets({}, env)).toEqual({
      koreSecret: undefined,
      twilioAuthToken: undefined,
      ...secrets,
    });
  });

  it('are read from the profile where one is named, or the variables have none', async () => {
    const profile = await makeProfile(KORE);
    expect(await loadWebhookSecrets({ profile }, { SUPERSIM_WEBHOOK_SECRET: 'a' })).toMatchObject({
      koreSecret: 'of-the-file',
    });
    expect(await loadWebhookSecrets({}, { HOME: await makeHome() })).toMatchObject({ twilioAuthToken: 'from-profile' });
  });

  it('are not part of the credentials', async () => {
    expect(await loadCredentials({ profile: await makeProfile(KORE) }, {})).toEqual({
      clientId: 'client',
      clientSecret: 'secret',
    });
  });

  it.each([
    ['that has none', 'clientId: a\nclientSecret: b\n', 0o600, 'no-credentials'],
    ['that is not there', undefined, 0o600, 'no-credentials'],
    ['that others can read', KORE, 0o644, 'profile-unsafe'],
  ])('are missing in a profile %s', async (_, text, mode, code) => {
    const profile = text === undefined ? '/nonexistent' : await makeProfile(text, mode);
    expect(await rejection(loadWebhookSecrets({ profile }, {}))).toMatchObject({ code });
  });
});
