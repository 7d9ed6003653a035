import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../../agent/config/schema.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { findOption, OPTION } from '../../../shared/coap/options.js';
import { ATTACKERS, type Attacker, openAttackScene, SIM } from '../../support/attack-scene.js';
import type { RequestSetup } from '../../support/coap.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { keyFileText, startOperator } from '../../support/security.js';

const ALL = Object.keys(ATTACKERS).filter((name): name is Attacker => name in ATTACKERS);

interface Round {
  readonly name: string;
  readonly config: ConfigInput;
  /** Whether the rules of `supersim-agent secure` are loaded. */
  readonly isSecured: boolean;
  /** Who runs the handler. */
  readonly succeed: readonly Attacker[];
}

/**
 * Who commands a device with the default security settings. A forged source of the local network passes the kernel's
 * rp_filter when that is off or loose, and strict too when the route to the gateway is by the local network itself, as
 * while the cellular interface is down. With `listen.address: auto` the agent does not listen then; with a fixed address
 * it does. Another SIM arrives as the gateway does: only authentication tells it apart.
 */
const ROUNDS: readonly Round[] = [
  {
    name: 'without rules',
    config: {},
    isSecured: false,
    succeed: ['local-user', 'lan-rp-filter-0', 'lan-rp-filter-2', 'other-sim'],
  },
  {
    name: 'without rules, and with the SIM’s address configured',
    config: { listen: { address: SIM } },
    isSecured: false,
    succeed: ['local-user', 'lan-rp-filter-0', 'lan-rp-filter-2', 'other-sim', 'lan-interface-down'],
  },
  { name: 'with the rules of secure', config: {}, isSecured: true, succeed: ['other-sim'] },
  {
    name: 'with the rules of secure, and with the SIM’s address configured',
    config: { listen: { address: SIM } },
    isSecured: true,
    succeed: ['other-sim'],
  },
];

/** The gateway still commands the device: an attack that fails is not one that was never made. */
async function commandByGateway(scene: Awaited<ReturnType<typeof openAttackScene>>): Promise<void> {
  expect(String(await scene.exchange(Buffer.from('#1 mark gateway')))).toMatch(/^#1 ok/);
}

/** The environment of an agent whose clock is synchronised. */
function synchronizedClock(folder: string): Record<string, string> {
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  writeScript('echo yes', programs, 'timedatectl');
  return { PATH: `${programs}:${process.env['PATH']}` };
}

describe.skipIf(needs('root', 'ip', 'nft', 'setpriv', 'bash'))(
  'six attackers of a gateway',
  { timeout: 60_000 },
  () => {
    it.each(ROUNDS)(
      'run a handler only where that is to be expected: $name',
      async ({ config, isSecured, succeed }) => {
        const scene = await openAttackScene(config);
        if (isSecured) await scene.secure();
        expect(await scene.attack(ALL)).toEqual(succeed);
        await commandByGateway(scene);
      },
    );

    it('do not get in when the interface was deleted and comes back under the same name', async () => {
      const scene = await openAttackScene();
      await scene.secure();
      await scene.replugModem();
      const attackers = ['local-user', 'lan-rp-filter-0', 'lan-rp-filter-2', 'other-sim'] as const;
      expect(await scene.attack(attackers)).toEqual(['other-sim']);
      await commandByGateway(scene);
    });

    it('run no handler of a device with a key, neither by a command of their own nor by one that they captured', async () => {
      const folder = temporaryFolder();
      const keys = join(folder, 'keys');
      mkdirSync(keys, { mode: 0o700 });
      writeFile(keys, 'owner.json', keyFileText());
      const settings = { security: { keys, except: ['ping'] }, state: { folder: join(folder, 'state') } };
      const scene = await openAttackScene(settings, synchronizedClock(folder));
      const owner = startOperator();
      const ask = async (setup: RequestSetup) => {
        const request = owner.protect(setup);
        return { ...request, answer: request.open(await scene.exchange(request.bytes)) };
      };
      const mark = { path: 'mark', payload: '["owner"]', contentFormat: CONTENT_FORMAT.json };
      const { answer } = await ask(mark);
      const echo = findOption(answer.options, OPTION.echo) ?? Buffer.alloc(0);
      const captured = await ask({ ...mark, options: [{ number: OPTION.echo, value: echo }] });
      expect(captured.answer.code).toBe('2.04');
      expect(await scene.attack(ALL)).toEqual(['owner']);
      // In another message, as the same datagram would be answered from memory.
      const again = Buffer.from(captured.bytes);
      again.writeUInt16BE((captured.messageId + 1000) & 0xffff, 2);
      await scene.attack(ALL, () => again);
      await scene.attack(['other-sim', 'lan-rp-filter-0'], () => captured.bytes);
      const { counters } = await scene.status();
      expect(counters.outcomes['done']).toBe(1);
      expect(counters.denied['unprotected']).toBeGreaterThanOrEqual(4);
      expect(counters.denied['replay']).toBeGreaterThanOrEqual(4);
    });

    it('are seen by the agent itself: its status says whether a local user’s datagram arrives', async () => {
      const scene = await openAttackScene();
      const enforcement = async () => (await scene.status()).interface?.enforcement;
      await expect.poll(enforcement).toBe('not-enforced');
      await scene.agent.line(/device ports: open to other interfaces/);
      await scene.secure();
      // The agent tests again when its address was away. The unit has loaded nothing, so it cannot tell whose rules these are.
      await scene.replugModem();
      await expect.poll(enforcement).toBe('unknown');
      await scene.agent.line(/device ports: closed to this host/);
    });
  },
);
