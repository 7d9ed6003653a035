import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chooseLink,
  initialLinkChoice,
  type LinkChoice,
  type LinkConditions,
  type SwitchReason,
  type UdpCondition,
} from '../../../../agent/transport/links/link-choice.js';
import { SEED } from '../../../support/seed.js';

const TIMES = { downForMs: 10_000, upForMs: 60_000 };

/** At a second: UDP's condition, whether the modem is up, and whether something could not leave by UDP. */
type Look = readonly [second: number, udp: UdpCondition, modem: 'up' | 'down', failed?: 'failed'];

/** The links that are taken, and when and why. */
function story(looks: readonly Look[]): string[] {
  const taken: string[] = [];
  let choice = initialLinkChoice(0);
  for (const [second, udp, modem, failed] of looks) {
    choice = chooseLink(
      choice,
      { udp, modemUp: modem === 'up', udpFailed: failed !== undefined },
      TIMES,
      second * 1000,
    );
    if (choice.why !== undefined) taken.push(`${second} ${choice.link} ${choice.why}`);
  }
  return taken;
}

describe('the chosen link', () => {
  it.each<[string, Look[], string[]]>([
    [
      'is UDP while UDP is up',
      [
        [0, 'up', 'up'],
        [1000, 'up', 'up'],
      ],
      [],
    ],
    [
      'is UDP at the start, until downFor is over',
      [
        [1, 'no-address', 'up'],
        [9.9, 'no-address', 'up'],
      ],
      [],
    ],
    [
      'is the modem when UDP has no address after downFor',
      [
        [1, 'no-address', 'up'],
        [10, 'no-address', 'up'],
      ],
      ['10 modem no-address'],
    ],
    [
      'is the modem when UDP was without an address for downFor',
      [
        [0, 'up', 'up'],
        [100, 'no-address', 'up'],
        [109.9, 'no-address', 'up'],
        [110, 'no-address', 'up'],
      ],
      ['110 modem no-address'],
    ],
    [
      'stays UDP when the address returns in time',
      [
        [0, 'up', 'up'],
        [100, 'no-address', 'up'],
        [109, 'up', 'up'],
        [110, 'no-address', 'up'],
        [119, 'no-address', 'up'],
      ],
      [],
    ],
    [
      'is the modem as soon as the route is lost',
      [
        [0, 'up', 'up'],
        [1, 'no-route', 'up'],
      ],
      ['1 modem no-route'],
    ],
    [
      'is the modem as soon as a send fails',
      [
        [0, 'up', 'up'],
        [1, 'up', 'up', 'failed'],
      ],
      ['1 modem send-failed'],
    ],
    [
      'stays UDP while the modem is down too, and is the modem once it comes up',
      [
        [0, 'no-address', 'down'],
        [100, 'no-address', 'down'],
        [101, 'no-address', 'up'],
      ],
      ['101 modem no-address'],
    ],
    [
      'stays UDP when a send fails and the modem is down',
      [
        [0, 'up', 'down'],
        [1, 'up', 'down', 'failed'],
        [2, 'up', 'up'],
      ],
      [],
    ],
    [
      'is UDP again after UDP was up for upFor',
      [
        [1, 'no-route', 'up'],
        [100, 'up', 'up'],
        [159.9, 'up', 'up'],
        [160, 'up', 'up'],
      ],
      ['1 modem no-route', '160 udp udp-up'],
    ],
    [
      'stays the modem while UDP comes and goes',
      [
        [1, 'no-route', 'up'],
        [100, 'up', 'up'],
        [159, 'no-route', 'up'],
        [160, 'up', 'up'],
        [219, 'up', 'up'],
        [220, 'up', 'up'],
      ],
      ['1 modem no-route', '220 udp udp-up'],
    ],
    [
      'stays the modem while something cannot leave by UDP',
      [
        [0, 'up', 'up'],
        [1, 'up', 'up', 'failed'],
        [50, 'up', 'up', 'failed'],
        [61, 'up', 'up'],
        [109.9, 'up', 'up'],
        [110, 'up', 'up'],
      ],
      ['1 modem send-failed', '110 udp udp-up'],
    ],
    [
      'is UDP at once when the modem goes down and UDP is up',
      [
        [1, 'no-route', 'up'],
        [2, 'up', 'up'],
        [3, 'up', 'down'],
      ],
      ['1 modem no-route', '3 udp modem-down'],
    ],
    [
      'stays the modem while both are down, and is whichever comes first',
      [
        [1, 'no-route', 'up'],
        [2, 'no-route', 'down'],
        [500, 'no-address', 'down'],
        [501, 'up', 'down'],
        [502, 'up', 'up'],
      ],
      ['1 modem no-route', '501 udp modem-down'],
    ],
  ])('%s', (_, looks, taken) => {
    expect(story(looks)).toEqual(taken);
  });

  it('whatever happens, is never one that is down while the other is up for longer than it is given', () => {
    const look = fc.record({
      udp: fc.constantFrom<UdpCondition>('up', 'no-address', 'no-route'),
      modemUp: fc.boolean(),
      udpFailed: fc.boolean(),
      lasts: fc.integer({ min: 0, max: 30 }),
    });
    fc.assert(
      fc.property(fc.array(look, { maxLength: 60 }), (looks) => {
        let choice = initialLinkChoice(0);
        let second = 0;
        let wrongSince: number | undefined;
        for (const { lasts, ...conditions } of looks) {
          for (let i = 0; i <= lasts; i++, second++) {
            const before = choice;
            choice = chooseLink(
              before,
              { ...conditions, udpFailed: conditions.udpFailed && i === 0 },
              TIMES,
              second * 1000,
            );
            expect(choice.link !== before.link).toBe(choice.why !== undefined);
            const wrong = isWrong(choice, conditions);
            wrongSince = wrong ? (wrongSince ?? second) : undefined;
            expect(second - (wrongSince ?? second)).toBeLessThanOrEqual(10);
            if (choice.why !== undefined) expect(isAllowed(choice.why, conditions)).toBe(true);
          }
        }
      }),
      { seed: SEED },
    );
  });
});

const isWrong = ({ link }: LinkChoice, { udp, modemUp }: LinkConditions) =>
  link === 'udp' ? udp !== 'up' && modemUp : udp === 'up' && !modemUp;

const isAllowed = (why: SwitchReason, { udp, modemUp }: LinkConditions) =>
  why === 'udp-up' || why === 'modem-down' ? udp === 'up' : modemUp;
