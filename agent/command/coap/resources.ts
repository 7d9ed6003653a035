import { blockOption, exponentFor } from '../../../shared/coap/block.js';
import { CONTENT_FORMAT, isContentFormat } from '../../../shared/coap/content-format.js';
import { formatLinks } from '../../../shared/coap/link-format.js';
import { type CoapMessage, formatMessage, MAX_DATAGRAM_BYTES, type Option } from '../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../shared/coap/options.js';
import { DISCOVERY_PATH, nameOfSegments } from '../../../shared/coap/path.js';
import { type CoapRequest, METHOD, type Rejection, readParams, readRequest } from '../../../shared/coap/request.js';
import { type CoapResponse, diagnostic, formatResponse } from '../../../shared/coap/response.js';
import { type Command, type CommandError, MAX_NAME_LENGTH, type Reply } from '../../../shared/command.js';
import { ERRORS, SupersimError } from '../../../shared/errors.js';
import { utf8Head } from '../../../shared/format/cut.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import type { Handler } from '../../handlers/handler.js';
import { derivedFrom, type Registry } from '../../handlers/registry.js';
import type { Authorize, Caller } from '../../security/authorize.js';
import { encodingError } from '../codec/encode.js';
import { type DedupPolicy, dedupPolicyFor } from '../dedup/entry.js';
import type { ReadyCommand } from '../life.js';
import type { ResponseParts } from './received-request.js';
import { fitResponse, isBlock, plainParts, type ResponseLimit, responseOf, withOptions } from './response-parts.js';
import { createTransfers, MAX_BODY_BYTES, MAX_RESPONSE_BYTES, type Requester } from './transfers.js';

export interface ResourceOptions {
  readonly registry: Registry;
  readonly authorize: Authorize;
  /** Returns the size of the longest datagram that can leave now; 1300 bytes unless a modem takes less. */
  readonly maxBytes?: () => number;
  /** Returns the identity of the journal, as a response carries it. */
  readonly identity?: () => string | undefined;
  /** See {@link createTransfers}. */
  readonly onDrop?: () => void;
  readonly now?: () => number;
}

/** A command's name and reply; without a name where no handler was found. */
export interface NamedReply {
  readonly name: string | undefined;
  readonly reply: Reply;
}

/** How a request is answered. */
export interface RequestContext {
  /** Runs a command, and settles it. */
  run(ready: ReadyCommand): void;
  /** Called once: sends the response; `ended` is the command's reply, where the request was for a command. */
  respond(parts: ResponseParts, ended?: NamedReply): void;
  /** Answers 5.00 after a mistake of the agent itself. */
  fail(name: string | undefined, error: unknown): void;
  /** Tells the peer that the response comes later, perhaps after a restart of the agent. */
  acknowledge(): void;
  /** Returns how long the response may be now; undefined where there is no limit. */
  limit(): ResponseLimit | undefined;
}

/** A request is stored in one piece, in however many datagrams its body came. */
const MAX_STORED_BYTES = MAX_DATAGRAM_BYTES + MAX_BODY_BYTES;
/** Room for the header and the options beside a block. */
const HEAD_BYTES = MAX_PAYLOAD_BYTES - 1024;

/**
 * The agent's resources: a handler for each path, and the list of them at `/.well-known/core`. Long bodies come and go
 * in blocks (RFC 7959).
 */
export function createResources(options: ResourceOptions) {
  const { registry, authorize, maxBytes = () => MAX_PAYLOAD_BYTES, identity, now = () => performance.now() } = options;
  const transfers = createTransfers(options.onDrop);
  const links = derivedFrom(registry, (handlers) => Buffer.from(formatLinks(handlers)));
  const largestExponent = () => exponentFor(maxBytes() - HEAD_BYTES);
  let last: { readonly message: CoapMessage; readonly request: CoapRequest | Rejection } | undefined;

  return {
    /** Answers a request. */
    handle(message: CoapMessage, peer: Requester, context: RequestContext): void {
      const plan = planFor(message, peer, context);
      if ('code' in plan) {
        const isError = plan.code.startsWith('4') || plan.code.startsWith('5');
        context.respond(plan, isError ? { name: undefined, reply: refusal(plan) } : undefined);
        return;
      }
      const { name } = plan.handler;
      run(plan, message, peer, context, (write) => {
        try {
          const [reply, response] = write();
          const { request, options: extra } = plan;
          const parts = startBlocks(response, request, message.token, peer, context.limit(), extra);
          context.respond(parts, { name, reply });
        } catch (error) {
          context.fail(name, error);
        }
      });
    },

    /** Returns the response that says how a command ended, whatever its handler returned. */
    responseTo(message: CoapMessage, reply: Reply): ResponseParts {
      return plainParts(formatResponse(reply, message.code, undefined, undefined));
    },

    /** Returns a response that was encoded before as it may be sent now. */
    shorten(message: CoapMessage, encoded: CoapMessage, peer: Requester, limit: ResponseLimit): ResponseParts {
      const request = requestOf(message);
      if ('diagnostic' in request) return encoded;
      const whole = isBlock(encoded) ? transfers.kept(request, peer, now()) : responseOf(encoded);
      if (whole === undefined) return forgotten(encoded);
      const extra = encoded.options.filter(({ number }) => number === OPTION.block1);
      return startBlocks(whole, request, message.token, peer, limit, extra);
    },

    /** Discovery, errors, later blocks of a response, and idempotent handlers need no deduplication. */
    dedupPolicyOf(message: CoapMessage, caller: Caller): DedupPolicy {
      const request = requestOf(message);
      if ('diagnostic' in request || isDiscovery(request) || asksForLaterBlock(request)) return 'none';
      const handler = handlerOf(request);
      if (handler === undefined) return 'lookup';
      // Whether it may run is judged before anything else is answered.
      if (!takesMethod(handler, request) && authorize(handler, caller) === undefined) return 'none';
      return dedupPolicyFor(handler, authorize, caller);
    },

    /** Returns the commands that a request asks for: at most one. */
    commandsOf(message: CoapMessage): readonly string[] {
      const request = requestOf(message);
      const name = 'diagnostic' in request ? undefined : nameOfSegments(request.path);
      return name === undefined ? [] : [name];
    },
  };

  /** Reads a request once, though its policy and its plan are asked for one after the other. */
  function requestOf(message: CoapMessage): CoapRequest | Rejection {
    if (last?.message !== message) last = { message, request: readRequest(message) };
    return last.request;
  }

  /** Returns the command to run, or the response when there is none. */
  function planFor(message: CoapMessage, peer: Requester, context: RequestContext): Plan | ResponseParts {
    const request = requestOf(message);
    if ('diagnostic' in request) return plainParts(diagnostic(request.code, request.diagnostic));
    const handler = handlerOf(request);
    const denial = authorize(handler, peer.caller);
    if (denial !== undefined) {
      // A command is refused as such, and no block of it is kept.
      return handler === undefined ? deniedParts(denial) : { handler, request, body: request.payload, options: [] };
    }
    const laterBlock = asksForLaterBlock(request);
    const kept = laterBlock ? transfers.kept(request, peer, now()) : undefined;
    const { token } = message;
    if (kept !== undefined)
      return fitResponse(kept, { request, token, largest: largestExponent(), limit: context.limit() });
    if (isDiscovery(request)) return startBlocks(discover(request, peer.caller), request, token, peer, context.limit());
    if (handler === undefined) return plainParts(unknownCommand(request));
    if (!takesMethod(handler, request)) return plainParts(wrongMethod(request));
    const whole: Plan = { handler, request, body: request.payload, options: [] };
    if (laterBlock && !handler.safe) return plainParts(diagnostic('4.08', 'the transfer is not in progress'));
    if (request.block1 === undefined) return whole;
    const assembled = transfers.assemble(request, request.block1, peer, now());
    const options = [blockOption(OPTION.block1, request.block1)];
    if ('body' in assembled) return { handler, request, body: assembled.body, options };
    if (assembled.code === '4.13') options.push(uintOption(OPTION.size1, MAX_BODY_BYTES));
    return { code: assembled.code, options, payload: Buffer.alloc(0) };
  }

  /** Returns a response, or its first block; then the whole is kept for requests of the others. */
  function startBlocks(
    response: CoapResponse,
    request: CoapRequest,
    token: Buffer,
    peer: Requester,
    limit: ResponseLimit | undefined,
    extra?: readonly Option[],
  ): ResponseParts {
    // An error is not a body whose later block could be asked for.
    if (/^[45]/.test(response.code) && asksForLaterBlock(request))
      return withOptions(plainParts(response), extra ?? []);
    const parts = fitResponse(response, { request, token, largest: largestExponent(), limit }, extra);
    if (parts.payload.length < response.payload.length) {
      transfers.keep(request, response, peer, now());
    }
    return parts;
  }

  function discover({ method, accept }: CoapRequest, caller: Caller): CoapResponse {
    if (method !== METHOD.get) return diagnostic('4.05', 'the list of resources can only be read');
    if (accept !== undefined && accept !== CONTENT_FORMAT.links) return diagnostic('4.06', cannotMake(accept));
    return { code: '2.05', contentFormat: CONTENT_FORMAT.links, payload: linksFor(caller) };
  }

  /** The list of resources is no command. */
  function handlerOf(request: CoapRequest): Handler | undefined {
    return isDiscovery(request) ? undefined : registry.get(nameOfSegments(request.path) ?? '');
  }

  /** Returns the list of what a caller may call. */
  function linksFor(caller: Caller): Buffer {
    if (caller.kind === 'anyone' || caller.key.allow === undefined) return links();
    return Buffer.from(
      formatLinks([...registry.values()].filter((handler) => authorize(handler, caller) === undefined)),
    );
  }

  function run(plan: Plan, message: CoapMessage, peer: Requester, context: RequestContext, done: Done): void {
    const { handler, request, body } = plan;
    const { accept, contentFormat, method, query, asksJournal } = request;
    const journal = asksJournal ? identity?.() : undefined;
    const settle = (reply: Reply) =>
      done(() => orBadReply(journal === undefined ? reply : { ...reply, journal }, method, accept, contentFormat));
    const refusal = authorize(handler, peer.caller);
    if (refusal !== undefined) {
      settle({ error: refusal });
      return;
    }
    const read = readParams(query, body, contentFormat);
    if (accept !== undefined && (!isContentFormat(accept) || accept === CONTENT_FORMAT.links)) {
      done(() => badParams('4.06', cannotMake(accept)));
    } else if ('code' in read) {
      done(() => badParams(read.code, read.diagnostic));
    } else {
      const bound = handler.bind(read.params, read.words);
      if ('error' in bound) settle(bound);
      else {
        const { params, deadline } = read;
        const command: Command = {
          id: idOf(message),
          name: handler.name,
          params,
          format: 'coap',
          peer: peer.name,
          deadline,
        };
        context.run({
          command,
          handler,
          params: bound.value,
          bytes: body.length,
          describe: (idempotent) => ({
            id: command.id,
            name: command.name,
            request: formatMessage(wholeOf(message, plan), MAX_STORED_BYTES),
            idempotent,
            endsWith: handler.endsWith,
            deadline,
          }),
          acknowledge: context.acknowledge,
          settle,
        });
      }
    }
  }
}

/** A command in CoAP is identified by the token of its request. */
export const idOf = ({ token }: CoapMessage): string => token.toString('hex');

/** Returns a request whose body came in blocks as if it had come in one piece. */
function wholeOf(message: CoapMessage, { request, body }: Plan): CoapMessage {
  if (request.block1 === undefined) return message;
  return { ...message, options: message.options.filter(({ number }) => number !== OPTION.block1), payload: body };
}

/** Returns the response to a request without a command that its caller may not make. */
const deniedParts = ({ code, message }: CommandError): ResponseParts =>
  plainParts(diagnostic(ERRORS[code].wire.coap, `${code}: ${message}`));

/** Returns the reply, for the log, of a request without a command. */
const refusal = ({ code, payload }: ResponseParts): Reply => ({
  error: { code: code === '4.04' ? 'unknown-command' : 'invalid-request', message: `${code} ${payload}` },
});

/** Returns the response of a command that has ended, and whose result is not there any more. */
const forgotten = ({ code }: CoapMessage): ResponseParts =>
  plainParts({ code, payload: Buffer.alloc(0), ...(code.startsWith('2') && { forgotten: true }) });

/** Gets a function that writes the reply and its response, and may throw. */
type Done = (write: () => [Reply, CoapResponse]) => void;

/** A command that a request asks for. */
interface Plan {
  readonly handler: Handler;
  readonly request: CoapRequest;
  readonly body: Buffer;
  /** Further options of the response. */
  readonly options: readonly Option[];
}

function unknownCommand({ path }: CoapRequest): CoapResponse {
  const where = utf8Head(path.join('/'), MAX_NAME_LENGTH);
  return diagnostic('4.04', `unknown-command: there is no command at /${where}`);
}

const takesMethod = ({ safe }: Handler, { method }: CoapRequest): boolean =>
  method === METHOD.post || (method === METHOD.get && safe);

const wrongMethod = ({ method }: CoapRequest): CoapResponse =>
  diagnostic('4.05', method === METHOD.get ? 'the command is not safe: use POST' : 'use POST');

const cannotMake = (accept: number) => `content format ${accept} cannot be made`;

function badParams(coap: string, message: string): [Reply, CoapResponse] {
  return [{ error: { code: 'bad-params', message } }, diagnostic(coap, `bad-params: ${message}`)];
}

const asksForLaterBlock = ({ block2 }: CoapRequest) => block2 !== undefined && block2.number > 0;

const isDiscovery = ({ path }: CoapRequest) =>
  path.length === DISCOVERY_PATH.length && DISCOVERY_PATH.every((segment, index) => path[index] === segment);

/** Writes a reply as a response; an error where it cannot be written, or is too long to be kept for its blocks. */
function orBadReply(
  reply: Reply,
  method: string,
  accept: number | undefined,
  asked: number | undefined,
): [Reply, CoapResponse] {
  try {
    const response = formatResponse(reply, method, accept, asked);
    const { length } = response.payload;
    if (length > MAX_RESPONSE_BYTES) throw new SupersimError('bad-reply', `the result has ${length} bytes`);
    return [reply, response];
  } catch (error) {
    const failed = encodingError(error);
    return [failed, formatResponse(failed, method, undefined, undefined)];
  }
}
