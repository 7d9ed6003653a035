import { expect } from 'vitest';
import type { DialectName } from '../../../../agent/config/dialect-names.js';
import { createEngine, type EngineEffect } from '../../../../agent/transport/modem/at/engine.js';
import type { ModemEvent } from '../../../../agent/transport/modem/at/modem-event.js';
import type { Script } from '../../../../agent/transport/modem/at/script.js';
import { DIALECTS, PLAIN } from '../../../../agent/transport/modem/dialects/index.js';

/** Answers of a modem: the first pattern that matches a command counts; of a list each answer once, the last for ever. */
export type Answers = readonly (readonly [command: RegExp, ...answers: string[]])[];

/** Answers that every modem gives, of a modem that registers while roaming. */
export const BASICS: Answers = [
  [/^AT$|^ATE0|^AT\+(?:CMEE|CPSMS|CEDRXS)=/, '\r\nOK\r\n'],
  [/^AT\+CGMR/, '\r\nR1.0\r\n\r\nOK\r\n'],
  [/^AT\+CGSN/, '\r\n860000000000001\r\n\r\nOK\r\n'],
  [/^AT\+CPIN\?/, '\r\n+CME ERROR: 14\r\n', '\r\n+CPIN: READY\r\n\r\nOK\r\n'],
  [/^AT\+QCCID/, '\r\n+QCCID: 8988307000000000001F\r\n\r\nOK\r\n'],
  [/^AT\+CICCID/, '\r\n+ICCID: 8988307000000000001\r\n\r\nOK\r\n'],
  [/^AT\+CGDCONT\?/, '\r\n+CGDCONT: 1,"IP","other","0.0.0.0",0,0\r\n\r\nOK\r\n'],
  [/^AT\+CGDCONT=1,"IP","super"/, '\r\nOK\r\n'],
  [/^AT\+CFUN\?/, '\r\n+CFUN: 1\r\n\r\nOK\r\n'],
  [/^AT\+CFUN=/, '\r\nOK\r\n'],
  [/^AT\+CEREG\?/, '\r\n+CEREG: 0,2\r\n\r\nOK\r\n', '\r\n+CEREG: 0,5\r\n\r\nOK\r\n'],
  [/^AT\+C(?:G)?REG\?/, '\r\nERROR\r\n'],
  [/^AT\+CGATT\?/, '\r\n+CGATT: 1\r\n\r\nOK\r\n'],
  [/^AT\+CESQ/, '\r\n+CESQ: 99,99,255,255,20,46\r\n\r\nOK\r\n'],
  [/^AT\+COPS\?/, '\r\n+COPS: 0,2,"23415",7\r\n\r\nOK\r\n'],
  [/^AT\+CGPADDR=1/, '\r\n+CGPADDR: 1,10.1.2.3\r\n\r\nOK\r\n'],
];

/** Runs scripts on a scripted modem, which answers each command at once and in one piece. */
export function play(answers: Answers, dialect?: DialectName) {
  const engine = createEngine(dialect === undefined ? PLAIN : DIALECTS[dialect].grammar);
  const written: string[] = [];
  const events: ModemEvent[] = [];
  const turns = new Map<RegExp, number>();
  let now = 0;

  function reply(bytes: Buffer): string {
    const command = bytes.toString('latin1').replace(/\r$/, '');
    for (const [pattern, ...all] of answers) {
      if (!pattern.test(command)) continue;
      const turn = turns.get(pattern) ?? 0;
      turns.set(pattern, turn + 1);
      return all[Math.min(turn, all.length - 1)] ?? '';
    }
    return '\r\nERROR\r\n';
  }

  function carryOut(effects: readonly EngineEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'event') events.push(effect.event);
      if (effect.type === 'ended') effect.run();
      if (effect.type !== 'write') continue;
      written.push(effect.bytes.toString('latin1'));
      const answer = reply(effect.bytes);
      now += 10;
      if (answer !== '') carryOut(engine.receive(Buffer.from(answer, 'latin1'), now));
    }
  }

  /** Runs a script to its end; its pauses take no time. */
  function run<T>(script: Script<T>): { value?: T; error?: unknown } {
    const outcome: { value?: T; error?: unknown; ended?: true } = {};
    const end = (result: { value?: T; error?: unknown }) => Object.assign(outcome, result, { ended: true });
    carryOut(
      engine.run(
        script,
        (value) => end({ value }),
        (error) => end({ error }),
        now,
      ),
    );
    for (let i = 0; i < 3000 && !outcome.ended; i++) {
      now = Math.max(now, engine.wakeAt());
      carryOut(engine.tick(now));
    }
    expect(outcome.ended).toBe(true);
    expect(engine.isIdle()).toBe(true);
    return outcome;
  }
  return { run, written, events, engine, carryOut, clock: () => now };
}
