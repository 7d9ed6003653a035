import { commandPath } from './path.js';

/** A handler in the list of `/.well-known/core`. */
export interface Link {
  readonly name: string;
  readonly description: string;
}

/** Formats handlers as links (RFC 6690 §2): `</relay/set>;title="Switches a relay";rt="supersim.command"`. */
export const formatLinks = (links: readonly Link[]): string =>
  links
    .map(({ name, description }) => `<${commandPath(name)}>;title=${quote(description)};rt="${RESOURCE_TYPE}"`)
    .join(',');

/** Resource type (RFC 6690 §3.1) of every handler. */
const RESOURCE_TYPE = 'supersim.command';

/** Formats a quoted string (RFC 2616 §2.2): quotes and backslashes are escaped. */
const quote = (text: string) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
