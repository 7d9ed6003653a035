import { DIALECT_NAMES, type DialectName } from '../../loopback/index.js';
import { needs } from './needs.js';

/** How the agent of a story reaches the network: by UDP, or by the sockets of a modem of this dialect. */
export type StoryLink = 'udp' | DialectName;

/** One dialect; all with `npm run soak`, as that takes minutes. */
export const MODEMS: readonly DialectName[] = needs('node-pty')
  ? []
  : process.env['SOAK_MODEMS'] === undefined
    ? ['quectel']
    : DIALECT_NAMES;

/** The links of each story. */
export const LINKS: readonly StoryLink[] = ['udp', ...MODEMS];

/** In bytes. */
export const longestReply = (link: StoryLink): number => (link === 'ublox' ? 1024 : 1300);
