import { describe, expect, it } from 'vitest';
import type { Script } from '../../../../../agent/transport/modem/at/script.js';
import { lineMatching } from '../../../../../agent/transport/modem/dialects/sockets.js';
import { play } from '../scripted-modem.js';

describe('the engine', () => {
  it('discards a payload whose bytes stop arriving, and reads what follows', () => {
    const { engine, carryOut, events } = play([], 'simcom7600');
    carryOut(engine.receive(Buffer.from('\r\nRECV FROM:1.2.3.4:5\r\n+IPD12\r\nabc'), 100));
    expect(engine.wakeAt()).toBe(2100);
    carryOut(engine.tick(2100));
    carryOut(engine.receive(Buffer.from('\r\nRECV FROM:1.2.3.4:5\r\n+IPD2\r\nhi'), 2200));
    expect(events).toEqual([
      { kind: 'discarded', bytes: Buffer.from('abc'), reason: 'incomplete' },
      { kind: 'datagram', socket: 0, source: { address: '1.2.3.4', port: 5 }, bytes: Buffer.from('hi') },
    ]);
  });

  it('takes no event from before a command for its second result', () => {
    const { engine, carryOut } = play([[/./, '']], 'simcom7600');
    const done: string[] = [];
    const second = { find: lineMatching(/^\+NETOPEN: 0$/), timeoutMs: 1000 };
    function* script(): Script<void> {
      yield { command: 'AT+CSQ', timeoutMs: 1000 };
      const outcome = yield { command: 'AT+NETOPEN', timeoutMs: 1000, second };
      done.push(outcome.ok ? 'ok' : outcome.failure);
    }
    const ignore = () => undefined;
    carryOut(engine.run(script(), ignore, ignore, 0));
    carryOut(engine.receive(Buffer.from('\r\nOK\r\n\r\n+NETOPEN: 0\r\n'), 1));
    carryOut(engine.receive(Buffer.from('\r\nOK\r\n'), 2));
    expect(done).toEqual([]);
    carryOut(engine.receive(Buffer.from('\r\n+NETOPEN: 0\r\n'), 3));
    expect(done).toEqual(['ok']);
  });

  it('runs a script during the pause of another, which continues at its time', () => {
    const { engine, carryOut, written, clock } = play([[/./, '\r\nOK\r\n']], 'quectel');
    const ended: string[] = [];
    const end = (name: string) => [() => ended.push(name), () => ended.push(`${name} failed`)] as const;
    function* patient(): Script<void> {
      yield { command: 'AT+CREG?', timeoutMs: 1000 };
      yield { waitMs: 5000 };
      yield { command: 'AT+CGATT?', timeoutMs: 1000 };
    }
    function* aside(command: string): Script<void> {
      yield { command, timeoutMs: 1000 };
    }
    carryOut(engine.run(patient(), ...end('patient'), 0));
    carryOut(engine.run(aside('AT+CGMM'), ...end('last'), clock()));
    carryOut(engine.run(aside('AT+CSQ'), ...end('one'), clock(), 'during-pause'));
    carryOut(engine.run(aside('AT+COPS?'), ...end('two'), clock(), 'during-pause'));
    expect(written.map((text) => text.trim())).toEqual(['AT+CREG?', 'AT+CSQ', 'AT+COPS?']);
    expect(ended).toEqual(['one', 'two']);
    carryOut(engine.tick(4000));
    expect(ended).toHaveLength(2);
    carryOut(engine.tick(5100));
    expect(ended).toEqual(['one', 'two', 'patient', 'last']);
  });

  it('fails the paused script, the one during its pause, and those that wait when the port is lost', () => {
    const { engine, carryOut } = play([[/./, '']], 'quectel');
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    function* patient(): Script<void> {
      yield { waitMs: 5000 };
    }
    function* aside(): Script<void> {
      const outcome = yield { command: 'AT+CSQ', timeoutMs: 1000 };
      if (!outcome.ok) throw new Error(outcome.failure);
    }
    const wrong = () => expect.unreachable();
    carryOut(engine.run(patient(), wrong, failed, 0));
    carryOut(engine.run(aside(), wrong, failed, 0, 'during-pause'));
    carryOut(engine.run(aside(), wrong, failed, 0, 'during-pause'));
    carryOut(engine.close(10));
    expect(failures).toHaveLength(3);
    expect(engine.isIdle()).toBe(true);
  });

  it('runs scripts in order, and one at the front next', () => {
    const { engine, carryOut, written } = play([[/./, '']], 'quectel');
    const names: string[] = [];
    function* script(name: string): Script<void> {
      names.push(name);
      yield { waitMs: 10 };
    }
    const ignore = () => undefined;
    for (const name of ['first', 'second']) carryOut(engine.run(script(name), ignore, ignore, 0));
    carryOut(engine.run(script('urgent'), ignore, ignore, 0, 'front'));
    for (let now = 0; now < 100; now += 5) carryOut(engine.tick(now));
    expect(names).toEqual(['first', 'urgent', 'second']);
    expect(written).toEqual([]);
  });
});
