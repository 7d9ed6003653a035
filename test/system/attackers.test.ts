import { describe, expect, it } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { ATTACKERS, type Attacker, openAttackScene, SIM } from '../support/attack-scene.js';
import { needs } from '../support/needs.js';

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

describe.skipIf(needs('root', 'ip', 'nft', 'setpriv', 'bash'))(
  'six attackers of a gateway',
  { timeout: 60_000 },
  () => {
    it.each(ROUNDS)(
      'run a handler only where that is to be expected: $name',
      async ({ config, isSecured, succeed }) => {
        const scene = await openAttackScene(config);
        if (isSecured) await scene.secure();
        expect(await scene.attack(ALL)).toEqual([...succeed, 'gateway']);
      },
    );

    it('do not get in when the interface was deleted and comes back under the same name', async () => {
      const scene = await openAttackScene();
      await scene.secure();
      await scene.replugModem();
      const attackers = ['local-user', 'lan-rp-filter-0', 'lan-rp-filter-2', 'other-sim'] as const;
      expect(await scene.attack(attackers)).toEqual(['other-sim', 'gateway']);
    });

    it('are seen by the agent itself: its status says whether a local user’s datagram arrives', async () => {
      const scene = await openAttackScene();
      const enforcement = async () => (await scene.status()).interface?.enforcement;
      await expect.poll(enforcement, { timeout: 10_000 }).toBe('not-enforced');
      await scene.agent.line(/device ports: open to other interfaces/);
      await scene.secure();
      // The agent tests again when its address was away. The unit has loaded nothing, so it cannot tell whose rules these are.
      await scene.replugModem();
      await expect.poll(enforcement, { timeout: 10_000 }).toBe('unknown');
      await scene.agent.line(/device ports: closed to this host/);
    });
  },
);
