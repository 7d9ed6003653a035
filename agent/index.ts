export { z } from 'zod';
export type { Command, CommandId, Format, Params } from '../shared/command.js';
export type { Duration } from '../shared/duration.js';
export { type ErrorCode, isSupersimError, SupersimError } from '../shared/errors.js';
export { type Agent, type AgentOptions, type AgentStatus, createAgent } from './agent.js';
export type { Counters } from './command/counters.js';
export type { Config, ConfigInput } from './config/schema.js';
export { defineHandler, type Emit, type HandlerContext, type HandlerDefinition } from './handlers/handler.js';
export type { Log } from './log.js';
