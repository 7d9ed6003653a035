import type { JournalCommands } from '../../command/journal/commands.js';
import type { JournalEntry } from '../../command/journal/entry.js';
import { formatEndpoint } from '../../transport/endpoint.js';
import type { CommandView } from './schema.js';
import type { ControlCommands } from './target.js';

/** Converts a journal entry for a list: without the reply, which may be long. */
export const commandView = ({ seq, command, received, ...progress }: JournalEntry): CommandView => ({
  id: seq,
  name: command.name,
  state: progress.state,
  outcome: progress.outcome,
  code: progress.code,
  callerId: command.id ?? null,
  peer: command.peer,
  source: formatEndpoint(command.source),
  port: command.port,
  transport: command.transport,
  format: command.format,
  idempotent: command.idempotent,
  runs: progress.runs,
  received: received.wall,
  started: progress.started?.wall ?? null,
  finished: progress.finished?.wall ?? null,
  deadline: command.deadline,
});

/** Converts a journal entry with its reply. */
export const fullCommandView = (entry: JournalEntry): CommandView => ({
  ...commandView(entry),
  reply: entry.reply === null ? null : Buffer.from(entry.reply).toString('base64'),
});

/** Makes the control socket's view of the journal. */
export const createControlCommands = (commands: JournalCommands): ControlCommands => ({
  ...commands,
  list: async (limit) => (await commands.list(limit)).map(commandView),
  async get(id) {
    const entry = await commands.get(id);
    return entry && fullCommandView(entry);
  },
});
