import type { SupersimError } from '../../../shared/errors.js';
import { createAlarm } from '../../base/alarm.js';
import type { Log } from '../../base/log.js';
import { createEngine, type Engine, type EngineEffect, type QueuePosition } from './at/engine.js';
import type { Grammar } from './at/grammar.js';
import type { ModemEvent } from './at/modem-event.js';
import { ModemFaultError, type Script } from './at/script.js';
import { type Traffic, withoutPin } from './console/traffic.js';
import { PLAIN } from './dialects/index.js';
import type { PortOptions } from './port/port.js';
import { createReopeningPort } from './port/reopening-port.js';

/** On a slower line a payload may pause longer. */
const NORMAL_BAUD_RATE = 19_200;

export interface DriverEvents {
  /** The port was opened; the modem's settings are unknown. */
  opened(): void;
  /** The port was lost, or could not be opened. */
  down(error: SupersimError): void;
  event(event: ModemEvent): void;
}

/** Runs scripts on the modem behind a serial port, which is reopened when it is lost. */
export type Driver = ReturnType<typeof createDriver>;

export function createDriver(options: PortOptions, events: DriverEvents, traffic: Traffic, log: Log, pace = 1) {
  const slowness = Math.max(1, NORMAL_BAUD_RATE / options.baudRate);
  let engine: Engine | undefined;
  const effects: EngineEffect[] = [];
  let performing = false;
  const alarm = createAlarm(() => {
    if (engine !== undefined) perform(engine.tick(performance.now()));
  });

  const port = createReopeningPort(
    options,
    {
      opened() {
        engine = createEngine(PLAIN, slowness);
        events.opened();
      },
      data(bytes) {
        traffic.received(bytes);
        trace('rx', bytes);
        if (engine !== undefined) perform(engine.receive(bytes, performance.now()));
      },
      down(error) {
        const gone = engine;
        engine = undefined;
        if (gone !== undefined) perform(gone.close(performance.now()));
        events.down(error);
      },
    },
    log,
    pace,
  );

  /** Performs effects in order, including those that arise meanwhile. */
  function perform(more: readonly EngineEffect[]): void {
    effects.push(...more);
    if (performing) return;
    performing = true;
    for (let effect = effects.shift(); effect !== undefined; effect = effects.shift()) {
      if (effect.type === 'write') write(effect.bytes);
      else if (effect.type === 'ended') effect.run();
      else events.event(effect.event);
    }
    performing = false;
    alarm.set((engine?.wakeAt() ?? Number.POSITIVE_INFINITY) - performance.now());
  }

  function write(bytes: Buffer): void {
    traffic.sent(bytes);
    trace('tx', withoutPin(bytes));
    // The port reports its own failure as down; a command that was not written ends with a time-out.
    port.write(bytes).catch((error: unknown) => log.debug({ error: String(error) }, 'cannot write to the modem'));
  }

  function trace(dir: string, bytes: Buffer): void {
    if (log.isLevelEnabled('trace')) log.trace({ dir, text: bytes.toString('latin1') }, 'AT');
  }

  return {
    isOpen: (): boolean => engine !== undefined,

    /**
     * Runs a script at this position of the queue.
     *
     * @throws ModemFaultError `closed` when the port is not open or is lost; otherwise what the script throws
     */
    run<T>(script: Script<T>, position: QueuePosition = 'back'): Promise<T> {
      return new Promise((resolve, reject) => {
        if (engine === undefined) reject(new ModemFaultError('closed', 'the port is not open'));
        else perform(engine.run(script, resolve, reject, performance.now(), position));
      });
    },

    /** Sets the modem's grammar. Only between scripts. */
    setGrammar: (grammar: Grammar): void => engine?.setGrammar(grammar),

    reopen: port.reopen,

    async close(): Promise<void> {
      await port.close();
      alarm.clear();
      const gone = engine;
      engine = undefined;
      if (gone !== undefined) perform(gone.close(performance.now()));
    },
  };
}
