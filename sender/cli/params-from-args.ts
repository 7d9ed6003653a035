import { messageOf, SupersimError } from '../../shared/errors.js';
import { paramsFromWords } from '../../shared/format/text.js';
import { isRecord } from '../../shared/format/value.js';
import { formatWords, type RequestParams } from '../request/params.js';
import type { RequestFormat } from '../request/request.js';

/** The arguments that hold a command's parameters. */
export interface ParamsArgs {
  /** JSON. */
  readonly params?: string | undefined;
  readonly words: readonly string[];
  /** Words after `--`. */
  readonly '--': readonly string[];
  readonly format: RequestFormat;
}

/** Parameters from arguments, which cannot be bytes. */
export type ArgsParams = Exclude<RequestParams, Uint8Array>;

/** @throws SupersimError `bad-input` */
export function paramsFromArgs({ params, words, '--': more, format }: ParamsArgs): ArgsParams | undefined {
  const all = [...words, ...more];
  if (params !== undefined) {
    if (all.length > 0) throw badInput('give --params or parameters after the name, not both');
    return fromJson(params);
  }
  if (all.length === 0) return undefined;
  try {
    const read = paramsFromWords(all);
    if (format === 'coap' || format === 'text') return formatWords(read);
    const named = Object.fromEntries(Object.entries(read.named).map(([key, value]) => [key, typed(value)]));
    const positional = read.positional.map(typed);
    if (positional.length === 0) return named;
    if (Object.keys(named).length === 0) return positional;
  } catch (error) {
    throw badInput(`the parameters: ${messageOf(error)}`);
  }
  throw badInput('JSON and CBOR have parameters by position or by name, not both');
}

function fromJson(text: string): ArgsParams {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badInput(`--params is not JSON: ${messageOf(error)}`);
  }
  if (Array.isArray(value) || isRecord(value)) return value;
  throw badInput('--params is neither an object nor an array');
}

/** For JSON and CBOR, turns a word that looks like a number, true, false or null into that value. */
function typed(word: unknown): unknown {
  const literal = typeof word === 'string' && /^(?:true|false|null|-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?)$/.test(word);
  return literal ? JSON.parse(word) : word;
}

const badInput = (message: string) => new SupersimError('bad-input', message);
