import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type SupersimError, systemCodeOf } from '../../../shared/errors.js';
import { defineCheck } from '../check.js';
import { failure, fault, fromError, good, type Judgement, note, warning } from '../finding.js';
import { formatOwner, type Identity, may, mayUse } from '../identity.js';

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;

interface Seen {
  readonly file: string;
  readonly isNamed: boolean;
  /** Of the file, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode' | 'mtimeMs'> | string;
  readonly error: SupersimError | undefined;
  readonly counts: { readonly programs: number; readonly modules: number };
  readonly hasPin: boolean;
  readonly agent: Identity;
  /** Whether the agent can read it; undefined where that cannot be seen. */
  readonly isReadable: boolean | undefined;
  /** When the agent that runs was started, in Unix milliseconds. */
  readonly startedAt: number | undefined;
}

/** Whether the configuration can be used, by whom it can be read, and by whom it can be changed. */
export const configuration = defineCheck<Seen>({
  name: 'configuration',
  async look(context) {
    const { file, config } = context;
    const status = await stat(file).catch((error: unknown) => systemCodeOf(error) ?? 'unknown');
    const agent = await context.agent();
    const running = await context.status();
    return {
      file,
      isNamed: context.fileIsNamed,
      status,
      error: context.configError,
      counts: { programs: Object.keys(config.handlers).length, modules: config.modules.length },
      hasPin: config.modem.pin !== undefined,
      agent,
      isReadable: typeof status === 'string' ? undefined : await mayUse(file, agent, 'read'),
      startedAt: running instanceof Error ? undefined : Date.now() - running.uptime * 1000,
    };
  },
  judge: judgeConfiguration,
});

export function judgeConfiguration(seen: Seen): Judgement[] {
  const { file, status, error, agent } = seen;
  if (typeof status === 'string') {
    if (error === undefined) return [good(file, 'it is not there: the built-in configuration is used')];
    if (status === 'EACCES') return [note(file, 'this user may not read it', 'Run it with sudo.')];
    return [fromError(file, error)];
  }
  const looked = `${file} (${formatOwner(status)})`;
  const judgements = error === undefined ? [valid(looked, seen)] : [fromError(looked, error)];
  if (seen.isReadable === false) {
    const remedy = `Run \`sudo chgrp ${agent.name} ${file} && sudo chmod 640 ${file}\`; its folder must let ${agent.name} in too.`;
    judgements.push(failure(looked, `the agent’s user ${agent.name} may not read it`, 'config-unreadable', remedy));
  }
  return [...judgements, ...whoElse(looked, seen, status)];
}

function valid(looked: string, { counts, startedAt, status }: Seen): Judgement {
  const { programs, modules } = counts;
  const found = `it is valid: ${programs} programs, ${modules} modules`;
  if (startedAt === undefined || typeof status === 'string' || status.mtimeMs <= startedAt) return good(looked, found);
  return note(
    looked,
    `${found}; it was changed after the agent started, and unless it was loaded again since, that is not in force`,
    'Run `sudo systemctl restart supersim-agent`.',
  );
}

/** It says what the agent runs: who may change it can do all that the agent can. */
function whoElse(looked: string, { file, hasPin, agent }: Seen, status: Exclude<Seen['status'], string>): Judgement[] {
  const { uid, mode } = status;
  const judgements: Judgement[] = [];
  const remedy = `Run \`sudo chown root ${file} && sudo chmod go-w ${file}\`.`;
  if ((mode & OTHERS_WRITE) !== 0) {
    judgements.push(fault(looked, 'every user can change it, and so have the agent run what they like', remedy));
  } else if (uid !== 0 && uid !== agent.uid) {
    judgements.push(
      warning(looked, 'its owner, who is neither root nor the agent, can have the agent run things', remedy),
    );
  } else if ((mode & GROUP_WRITES) !== 0) {
    judgements.push(warning(looked, 'its whole group can change it, and so have the agent run things', remedy));
  }
  const nobody = { name: 'nobody', uid: -1, groups: [] };
  if (hasPin && may(status, nobody, 'read')) {
    const hide = `Run \`sudo chgrp ${agent.name} ${file} && sudo chmod 640 ${file}\`.`;
    judgements.push(warning(looked, 'every user can read the SIM’s PIN in it', hide));
  }
  return judgements;
}
