import { openTty, type Tty } from './pty.js';
import { placeLink, removeLink } from './symlink.js';
import { type TtyUsers, watchTtyUsers } from './tty-users.js';

export interface PortOptions {
  /** Symbolic link to the tty while there is one. */
  readonly link: string | undefined;
  readonly onData: (bytes: Buffer) => void;
  /** The terminal vanished unexpectedly. */
  readonly onLost: () => void;
  /** Processes opened the tty; an empty list: the last one closed it. */
  readonly onUsers: (pids: readonly number[]) => void;
}

/** The modem’s serial port: a tty that can vanish and come back, perhaps under another path. */
export interface Port {
  /** Path of the tty; undefined while it is away. */
  path(): string | undefined;
  write(bytes: Buffer): void;
  /** @throws SupersimError `pty-missing`, or `bad-input` for a link that cannot be made */
  appear(): Promise<void>;
  vanish(): Promise<void>;
}

export function createPort({ link, onData, onLost, onUsers }: PortOptions): Port {
  let tty: Tty | undefined;
  let users: TtyUsers | undefined;

  async function vanish(): Promise<void> {
    const going = tty;
    if (going === undefined) return;
    tty = undefined;
    users?.close();
    if (link !== undefined) await removeLink(link, going.path);
    await going.close();
  }

  return {
    path: () => tty?.path,
    write(bytes) {
      tty?.write(bytes);
      if (tty !== undefined) users?.outputWritten();
    },
    async appear() {
      const opened = await openTty({
        onData(bytes) {
          users?.inputReceived();
          if (tty !== undefined) onData(bytes);
        },
        onLost() {
          void vanish().then(onLost);
        },
      });
      users = watchTtyUsers({
        path: opened.path,
        holder: opened.holder,
        onOpen: onUsers,
        onClose() {
          opened.drain();
          onUsers([]);
        },
        onUnread: opened.drain,
      });
      tty = opened;
      if (link === undefined) return;
      await placeLink(link, opened.path).catch(async (error) => {
        await vanish();
        throw error;
      });
    },
    vanish,
  };
}
