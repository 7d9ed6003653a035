import { readlinkSync } from 'node:fs';
import { readdir, readlink, stat } from 'node:fs/promises';
import { systemCodeOf } from '../../../shared/errors.js';

const CHECK_INTERVAL_MS = 100;
/** Interval between searches through all processes, which take time. */
const SEARCH_INTERVAL_MS = 500;

export interface TtyUsersOptions {
  readonly path: string;
  /** The process that holds the terminal, which does not count as a user. */
  readonly holder: number;
  readonly onOpen: (pids: readonly number[]) => void;
  readonly onClose: () => void;
  /** Output was written while nobody had the terminal open. */
  readonly onUnread: () => void;
}

/** Watches which processes have the terminal open: a serial port discards output while none has. */
export interface TtyUsers {
  /** Input arrived. */
  inputReceived(): void;
  /** Output was written. */
  outputWritten(): void;
  close(): void;
}

interface User {
  readonly pid: number;
  readonly link: string;
}

/** Off Linux no process is found; the terminal then keeps its output. */
export function watchTtyUsers({ path, holder, onOpen, onClose, onUnread }: TtyUsersOptions): TtyUsers {
  let users: User[] = [];
  let unread = false;
  let searching = false;
  let hasInput = false;
  /** Whether a process of another user, which cannot be found, writes to the terminal. */
  let unseen = false;
  let closed = false;
  let wanted: NodeJS.Timeout | undefined;
  const looking = setInterval(look, CHECK_INTERVAL_MS);

  function look(): void {
    if (users.length === 0) return;
    users = users.filter(({ link }) => linkedTo(link) === path);
    if (users.length > 0) return;
    onClose();
    search(0);
  }

  function search(inMs: number): void {
    if (searching || closed) return;
    searching = true;
    wanted = setTimeout(async () => {
      const { found, blind } = await findUsers(path, holder);
      searching = false;
      if (closed) return;
      if (users.length === 0 && found.length > 0) onOpen([...new Set(found.map(({ pid }) => pid))]);
      users = found;
      unseen ||= blind && hasInput && users.length === 0;
      if (users.length === 0 && unread && !unseen) onUnread();
      unread = false;
    }, inMs);
  }

  return {
    inputReceived() {
      if (users.length > 0) return;
      hasInput = true;
      search(0);
    },
    outputWritten() {
      if (users.length > 0) return;
      unread = true;
      search(SEARCH_INTERVAL_MS);
    },
    close() {
      closed = true;
      clearInterval(looking);
      clearTimeout(wanted);
      if (users.length > 0) onClose();
    },
  };
}

/** `blind`: there are processes whose files cannot be listed. */
async function findUsers(path: string, holder: number): Promise<{ found: User[]; blind: boolean }> {
  const found: User[] = [];
  let blind = false;
  const device = await identityOf(path);
  const pids = await readdir('/proc').catch(() => undefined);
  for (const pid of (pids ?? []).filter((name) => /^\d+$/.test(name) && Number(name) !== holder)) {
    const folder = `/proc/${pid}/fd`;
    const fds = await readdir(folder).catch((error: unknown) => {
      blind ||= systemCodeOf(error) === 'EACCES';
      return [];
    });
    const links = await Promise.all(fds.map((fd) => readlink(`${folder}/${fd}`).catch(() => undefined)));
    for (const [index, target] of links.entries()) {
      const link = `${folder}/${fds[index]}`;
      // In a container the same path is another device.
      if (target === path && (await identityOf(link)) === device) found.push({ pid: Number(pid), link });
    }
  }
  return { found, blind: blind || pids === undefined };
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && `${found.dev} ${found.ino}`;
}

function linkedTo(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
