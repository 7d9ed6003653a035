import { MAX_READS } from './dialects/sockets.js';
import type { Driver } from './driver.js';
import type { Session } from './session.js';

/** Reads from sockets with waiting data. A socket that announces more data while it is read is read again. */
export function createReceiver(driver: Driver, session: Session, onError: (socket: number, error: unknown) => void) {
  /** The sockets that are being read, and whether they have announced more data since. */
  const reading = new Map<number, boolean>();

  async function read(socket: number): Promise<void> {
    const receive = session.dialect()?.receive;
    if (receive === undefined) return;
    try {
      // The first round runs at once, as the modem may drop waiting data; later rounds let pending sends go first.
      for (let first = true, more = true; more; first = false) {
        reading.set(socket, false);
        const empty = await driver.run(receive(socket, MAX_READS), first ? 'front' : 'back');
        more = !empty || reading.get(socket) === true;
      }
    } catch (error) {
      onError(socket, error);
    } finally {
      reading.delete(socket);
    }
  }

  return {
    pending(socket: number): void {
      if (reading.has(socket)) reading.set(socket, true);
      // Before our sockets are open, the announcement is for an earlier socket.
      else if (session.sockets().length > 0) void read(socket);
    },
  };
}
