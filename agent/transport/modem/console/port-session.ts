import type { SupersimError } from '../../../../shared/errors.js';
import { createEngine, type EngineEffect } from '../at/engine.js';
import type { ModemEvent } from '../at/modem-event.js';
import type { Script } from '../at/script.js';
import { PLAIN } from '../dialects/index.js';
import { openPort, type Port, type PortOptions } from '../port/port.js';
import { busyError } from '../port/port-error.js';
import { holdersInTheWay } from '../port/port-holders.js';
import { toSupersimError } from './user-command.js';

export interface PortSessionEvents {
  bytes?(bytes: Buffer): void;
  event?(event: ModemEvent): void;
}

/** A port that was opened once for scripts of a command-line tool; it has no dialect. */
export interface PortSession {
  /** The device that the path leads to. */
  readonly device: string;
  /** @throws SupersimError `modem-silent`, `modem-port-lost` */
  run<T>(script: Script<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * Opens a port that no other program uses.
 *
 * @throws SupersimError `modem-port-missing`, `modem-port-forbidden`, `modem-port-busy`, `modem-port-lost`
 */
export async function openPortSession(options: PortOptions, events: PortSessionEvents = {}): Promise<PortSession> {
  await refuseIfHeld(options.path);
  const engine = createEngine(PLAIN);
  let timer: NodeJS.Timeout | undefined;
  let lost: SupersimError | undefined;
  const port: Port = await openPort(options, {
    data(bytes) {
      events.bytes?.(bytes);
      perform(engine.receive(bytes, performance.now()));
    },
    lost(error) {
      lost = error;
      perform(engine.close(performance.now()));
    },
  });

  function perform(effects: readonly EngineEffect[]): void {
    for (const effect of effects) {
      // A port that takes no bytes is lost, which `lost` reports.
      if (effect.type === 'write') port.write(effect.bytes).catch(() => undefined);
      else if (effect.type === 'event') events.event?.(effect.event);
      else effect.run();
    }
    clearTimeout(timer);
    const at = engine.wakeAt();
    if (at === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(() => perform(engine.tick(performance.now())), Math.max(0, Math.ceil(at - performance.now())));
  }

  return {
    device: port.device,
    run: (script) =>
      new Promise((resolve, reject) => {
        const failed = (error: unknown) => reject(lost ?? toSupersimError(error));
        if (lost !== undefined) reject(lost);
        else perform(engine.run(script, resolve, failed, performance.now()));
      }),
    async close() {
      await port.close();
      perform(engine.close(performance.now()));
      clearTimeout(timer);
    },
  };
}

/** Refuses a port that is in use: root can open even a locked port, and many programs lock nothing. */
async function refuseIfHeld(path: string): Promise<void> {
  if ((await holdersInTheWay(path)).length > 0) throw await busyError(path);
}
