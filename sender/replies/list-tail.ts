import type { IpCommand } from '../../shared/ip-command.js';
import { type IpCommandClient, type ListFilters, PAGE_SIZE } from '../api/client.js';
import { evictOldest } from '../base/evict-oldest.js';

export interface ListTailOptions {
  /** Which IP Commands are read. */
  readonly filters: Omit<ListFilters, 'pageSize'>;
  /**
   * Most commands that are remembered: more than one read can bring, so that the newest are always among them.
   */
  readonly maxKnown: number;
  /**
   * Most commands on a page, default {@link PAGE_SIZE}. A read asks for as long pages as the last one had needed, and
   * some more.
   */
  readonly maxPageSize?: number | undefined;
  /** Called for each page, which is one API call. */
  readonly onPage?: (() => void) | undefined;
}

export interface TailRead {
  /** The commands that are new or have another status than at the last read, oldest first. */
  readonly news: readonly IpCommand[];
  /** False when `maxCommands` held no known command: there may be more that are new. */
  readonly complete: boolean;
}

/**
 * Reads what is new, at most so many commands of it, and at least a page.
 *
 * @param onNews called with each page's new commands, oldest first, as soon as the page is there: the newest page is the
 *   first. A command is given to it once, also when a read has failed.
 */
export type ListTail = (maxCommands: number, onNews?: (commands: readonly IpCommand[]) => void) => Promise<TailRead>;

/**
 * Follows the end of the list of IP Commands. The list has no filter by date and no promised order
 * (docs/vendor-facts.md, "API: lists"), so each read takes pages until one holds a command that is known, and at most
 * `maxCommands`. Pages shift while they are read: a command on two of them is given once. A read that fails
 * remembers nothing.
 */
export function createListTail(
  client: Pick<IpCommandClient, 'pages'>,
  { filters, maxKnown, maxPageSize = PAGE_SIZE, onPage }: ListTailOptions,
): ListTail {
  /** The status of each known command; those read last are at the end. */
  const known = new Map<string, IpCommand['status']>();
  /** The statuses that `onNews` was given since the last read that succeeded. */
  const given = new Map<string, IpCommand['status']>();
  let pageSize = PAGE_SIZE;

  function giveNews(page: readonly IpCommand[], onNews: (commands: readonly IpCommand[]) => void): void {
    const isNew = ({ sid, status }: IpCommand) => known.get(sid) !== status && given.get(sid) !== status;
    const commands = page.filter(isNew).reverse();
    for (const { sid, status } of commands) given.set(sid, status);
    onNews(commands);
  }

  return async (maxCommands, onNews) => {
    const seen = new Map<string, IpCommand>();
    let complete = true;
    let left = maxCommands;
    for await (const page of client.pages({ ...filters, pageSize })) {
      onPage?.();
      for (const command of page) seen.set(command.sid, command);
      if (onNews !== undefined) giveNews(page, onNews);
      if (page.some(({ sid }) => known.has(sid))) break;
      left -= pageSize;
      complete = left > 0;
      if (!complete) break;
    }
    const oldestFirst = [...seen.values()].reverse();
    const news = oldestFirst.filter(({ sid, status }) => known.get(sid) !== status);
    for (const { sid, status } of oldestFirst) {
      known.delete(sid);
      known.set(sid, status);
    }
    evictOldest(known, maxKnown);
    given.clear();
    pageSize = Math.min(maxPageSize, Math.max(PAGE_SIZE, 2 * news.length));
    return { news, complete };
  };
}
