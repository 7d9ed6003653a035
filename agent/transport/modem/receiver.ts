import { MAX_READS } from './dialects/sockets.js';
import type { Driver } from './driver.js';
import type { Session } from './session.js';

/** Reads from sockets that have something to read; a socket that says so meanwhile is read again. */
export function createReceiver(driver: Driver, session: Session, failed: (socket: number, error: unknown) => void) {
  /** The sockets that are being read, and whether they have said since that there is more. */
  const reading = new Map<number, boolean>();

  async function read(socket: number): Promise<void> {
    const receive = session.dialect()?.receive;
    if (receive === undefined) return;
    try {
      // What waits in the modem may be thrown away there; but what is to be sent gets its turn between two rounds.
      for (let first = true, left = true; left; first = false) {
        reading.set(socket, false);
        const empty = await driver.run(receive(socket, MAX_READS), first ? 'first' : 'last');
        left = !empty || reading.get(socket) === true;
      }
    } catch (error) {
      failed(socket, error);
    } finally {
      reading.delete(socket);
    }
  }

  return {
    pending(socket: number): void {
      if (reading.has(socket)) reading.set(socket, true);
      // Before the sockets are open it is a rest of earlier ones.
      else if (session.sockets().length > 0) void read(socket);
    },
  };
}
