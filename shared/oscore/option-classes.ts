import type { Option } from '../coap/message.js';
import { findOption, OPTION } from '../coap/options.js';

/** The options of class U that are not of class E too: only proxies need them (RFC 8613 §4.1, figure 5). */
const OUTER: ReadonlySet<number> = new Set([
  OPTION.uriHost,
  OPTION.uriPort,
  OPTION.oscore,
  OPTION.proxyUri,
  OPTION.proxyScheme,
]);

/**
 * Tells whether an option is of class U only: it is written outside the ciphertext, and read from there. All others,
 * unknown ones too, are of class E: they are encrypted, and an outer instance is discarded. Max-Age, Block, Size,
 * No-Response, Echo and Request-Tag may have an outer instance too, for proxies; this project writes none. No option is of
 * class I.
 */
export const isOuterOption = (number: number): boolean => OUTER.has(number);

export const hasObserve = (options: readonly Option[]): boolean => findOption(options, OPTION.observe) !== undefined;

/** The options of a message: those in the ciphertext, and those outside. */
export interface SplitOptions {
  readonly inner: readonly Option[];
  readonly outer: readonly Option[];
}

const EMPTY_OBSERVE: Option = { number: OPTION.observe, value: Buffer.alloc(0) };

/**
 * Splits a request's options. Observe is written in both parts (§4.1.3.5.1).
 *
 * @throws Error for a message that is already protected (§4.1.3.6), and for Proxy-Uri, whose path would have to be taken
 * out and encrypted (§4.1.3.3): use Proxy-Scheme
 */
export const splitRequestOptions = (options: readonly Option[]): SplitOptions => split(options, (observe) => observe);

/**
 * Splits a response's options. Observe is empty in the ciphertext, and has its value outside (§4.1.3.5.2).
 *
 * @throws Error as {@link splitRequestOptions}
 */
export const splitResponseOptions = (options: readonly Option[]): SplitOptions => split(options, () => EMPTY_OBSERVE);

function split(options: readonly Option[], innerObserve: (observe: Option) => Option): SplitOptions {
  const inner: Option[] = [];
  const outer: Option[] = [];
  for (const option of options) {
    const { number } = option;
    if (number === OPTION.oscore) throw new Error('the message is already protected');
    if (number === OPTION.proxyUri) throw new Error('a message with Proxy-Uri cannot be protected');
    if (isOuterOption(number) || number === OPTION.observe) outer.push(option);
    if (!isOuterOption(number)) inner.push(number === OPTION.observe ? innerObserve(option) : option);
  }
  return { inner, outer };
}

/**
 * Joins the options of a decrypted message with the outer ones of class U, in the order of their numbers. The OSCORE
 * option is removed (§8.2, step 7).
 */
export function joinOptions(inner: readonly Option[], received: readonly Option[]): readonly Option[] {
  const outer = received.filter(({ number }) => isOuterOption(number) && number !== OPTION.oscore);
  return outer.length === 0 ? inner : [...outer, ...inner].sort((one, other) => one.number - other.number);
}
