export { z } from 'zod';
export type { Command, CommandId, Format, Params } from '../shared/command.js';
export type { Duration } from '../shared/duration.js';
export { type ErrorCode, isSupersimError, SupersimError } from '../shared/errors.js';
export { type Agent, type AgentOptions, createAgent } from './agent.js';
export type { Log } from './base/log.js';
export type { Counters } from './command/stats/counters.js';
export type { RecentCommand, RecentDatagram, RefusedSource } from './command/stats/recent.js';
export type { Config, ConfigInput } from './config/schema.js';
export { defineHandler, type Emit, type HandlerContext, type HandlerDefinition } from './handlers/handler.js';
export type { Reloaded } from './reload.js';
export type { AgentStatus } from './status.js';
export type {
  LinkStatus,
  LinkView,
  ModemConsole,
  ModemCounters,
  ModemHealth,
  ModemRecord,
} from './transport/transport.js';
