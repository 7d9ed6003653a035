import { readlinkSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { systemCodeOf } from '../../../shared/errors.js';

const LOOK_MS = 100;
/** Looking through all processes takes time; not more often than this. */
const SEARCH_MS = 500;

export interface TtyUsersOptions {
  readonly path: string;
  /** The process that holds the terminal, and is no user. */
  readonly holder: number;
  readonly onOpen: (pids: readonly number[]) => void;
  readonly onClose: () => void;
  /** Something was written, and nobody is there to read it. */
  readonly onUnread: () => void;
}

/** Who has the terminal open: a serial port does not keep what comes while nobody has. */
export interface TtyUsers {
  /** Somebody has written to it. */
  heard(): void;
  /** Something was written for them. */
  said(): void;
  close(): void;
}

interface User {
  readonly pid: number;
  readonly link: string;
}

/** Off Linux nobody is found: the terminal then keeps what is written. */
export function watchTtyUsers({ path, holder, onOpen, onClose, onUnread }: TtyUsersOptions): TtyUsers {
  let users: User[] = [];
  let unread = false;
  let searching = false;
  let hasHeard = false;
  /** Somebody writes to it who cannot be seen: a process of another user. */
  let unseen = false;
  let closed = false;
  let wanted: NodeJS.Timeout | undefined;
  const looking = setInterval(look, LOOK_MS);

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
      unseen ||= blind && hasHeard && users.length === 0;
      if (users.length === 0 && unread && !unseen) onUnread();
      unread = false;
    }, inMs);
  }

  return {
    heard() {
      if (users.length > 0) return;
      hasHeard = true;
      search(0);
    },
    said() {
      if (users.length > 0) return;
      unread = true;
      search(SEARCH_MS);
    },
    close() {
      closed = true;
      clearInterval(looking);
      clearTimeout(wanted);
      if (users.length > 0) onClose();
    },
  };
}

/** `blind`: there are processes that cannot be looked at. */
async function findUsers(path: string, holder: number): Promise<{ found: User[]; blind: boolean }> {
  const found: User[] = [];
  let blind = false;
  const pids = await readdir('/proc').catch(() => undefined);
  for (const pid of (pids ?? []).filter((name) => /^\d+$/.test(name) && Number(name) !== holder)) {
    const folder = `/proc/${pid}/fd`;
    const fds = await readdir(folder).catch((error: unknown) => {
      blind ||= systemCodeOf(error) === 'EACCES';
      return [];
    });
    const links = await Promise.all(fds.map((fd) => readlink(`${folder}/${fd}`).catch(() => undefined)));
    links.forEach((target, index) => {
      if (target === path) found.push({ pid: Number(pid), link: `${folder}/${fds[index]}` });
    });
  }
  return { found, blind: blind || pids === undefined };
}

function linkedTo(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
