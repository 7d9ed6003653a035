import { describe, expect, it } from 'vitest';
import type { DialectName } from '../../agent/config/dialect-names.js';
import { createEngine, type EngineEffect } from '../../agent/transport/modem/at/engine.js';
import { attempt, type Script } from '../../agent/transport/modem/at/script.js';
import { DIALECTS } from '../../agent/transport/modem/dialects/index.js';
import { testModem } from '../loopback/modem/support.js';

const GATEWAY = { address: '100.64.0.1', port: 6969 };

/** Connects the agent's engine to the core of a virtual modem by a line that loses what `lose` removes, without delays. */
function wire(dialect: DialectName, lose: (printed: string) => string) {
  const modem = testModem(dialect);
  const engine = createEngine(DIALECTS[dialect].grammar);
  const written: string[] = [];
  let now = 0;

  function perform(effects: readonly EngineEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'ended') effect.run();
      if (effect.type !== 'write') continue;
      const text = effect.bytes.toString('latin1');
      written.push(text);
      modem.write(text);
    }
    const printed = lose(modem.printed());
    if (printed !== '') perform(engine.receive(Buffer.from(printed, 'latin1'), now));
  }

  function run<T>(script: Script<T>): { value?: T; error?: unknown } {
    let outcome: { value?: T; error?: unknown } | undefined;
    const done = (value: T) => {
      outcome = { value };
    };
    const failed = (error: unknown) => {
      outcome = { error };
    };
    perform(engine.run(script, done, failed, now));
    for (let i = 0; i < 100_000 && outcome === undefined; i++) {
      now += 10;
      modem.pass(10);
      perform(engine.tick(now));
    }
    return outcome ?? {};
  }
  return { modem, written, run, now: () => now };
}

describe('a modem that waits for payload bytes', () => {
  it('for ever, as its prompt was lost, gets zeros and accepts commands again', () => {
    let losing = true;
    const { run, modem, written } = wire('quectel', (printed) => {
      const heard = losing ? printed.replace('> ', '') : printed;
      if (printed.includes('> ')) losing = false;
      return heard;
    });
    expect(run(DIALECTS.quectel.activate('super')).error).toBeUndefined();
    expect(run(DIALECTS.quectel.listen(6969, 0, GATEWAY)).error).toBeUndefined();
    const bytes = Buffer.from('x'.repeat(200));
    expect(run(DIALECTS.quectel.send(0, GATEWAY, bytes, GATEWAY)).error).toMatchObject({ fault: 'send' });
    expect(run(attempt('AT+CSQ')).value).toMatchObject({ ok: true });
    // The zeros must not be taken for a payload.
    expect(modem.sent.map((datagram) => datagram.bytes)).toEqual([expect.stringMatching(/^\rAT\r.*\0{100,}$/s)]);
    expect(written).not.toContain(bytes.toString());
    expect(run(DIALECTS.quectel.send(0, GATEWAY, bytes, GATEWAY)).error).toBeUndefined();
    expect(modem.sent.at(-1)?.bytes).toBe(bytes.toString());
  });

  it('for a while gets nothing meanwhile, and then the payload once', () => {
    let losing = true;
    const { run, modem, now } = wire('simcom7080', (printed) => {
      const heard = losing ? printed.replace('\r\n>', '') : printed;
      if (printed.includes('\r\n>')) losing = false;
      return heard;
    });
    const { simcom7080 } = DIALECTS;
    modem.persistent.contexts.set(1, { type: 'IP', apn: 'super' });
    expect(run(simcom7080.activate('super')).error).toBeUndefined();
    expect(run(simcom7080.listen(6969, 0, GATEWAY)).error).toBeUndefined();
    const before = now();
    const bytes = Buffer.from('x'.repeat(200));
    expect(run(simcom7080.send(0, GATEWAY, bytes, GATEWAY)).error).toBeUndefined();
    expect(now() - before).toBeGreaterThan(5000);
    expect(modem.sent.map((datagram) => datagram.bytes)).toEqual([bytes.toString()]);
  });
});
