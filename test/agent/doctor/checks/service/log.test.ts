import { describe, expect, it } from 'vitest';
import { judgeLog, log } from '../../../../../agent/doctor/checks/service/log.js';
import { expectJudgements, playProgram, run } from '../../support.js';
import { line, playJournal, STARTED } from './support.js';

describe('the doctor’s log check', () => {
  it('finds a log without errors', async () => {
    playJournal(STARTED, line('Started supersim-agent.service - Agent for Super SIM IP Commands.'));
    expect(await run(log)).toMatchObject([{ severity: 'good' }]);
  });

  it('shows the last errors: the agent’s own with their remedies, and those of Node and systemd', async () => {
    playJournal(
      line(
        '{"level":"error","time":1,"handler":"relay.set","error":"/x is no file","remedy":"Make it.","msg":"handler not loaded"}',
      ),
    );
    expect(await run(log)).toMatchObject([
      { severity: 'warning', found: expect.stringMatching(/relay\.set \/x is no file/), remedy: 'Make it.' },
    ]);
    for (const text of [
      'error config-invalid: /etc/supersim-agent/config.yaml:1:11: listen.prots is unknown; did you mean ports?',
      "Error: Cannot find module '/usr/lib/supersim-agent/supersim-agent.js'",
      'supersim-agent.service: Main process exited, code=killed, status=9/KILL',
    ]) {
      playJournal(STARTED, line(text), STARTED);
      expect(await run(log)).toMatchObject([{ severity: 'warning', found: expect.stringContaining(text) }]);
    }
    playJournal(line('Failed to start supersim-agent.service', '3'));
    expect(await run(log)).toMatchObject([{ severity: 'warning' }]);
  });

  it('reads messages that are arrays of bytes, and skips lines that are not entries', async () => {
    playJournal(line([...Buffer.from('Error: caf\u00e9')]), line(null), '{', '');
    expect(await run(log)).toMatchObject([{ severity: 'warning', found: expect.stringContaining('Error: café') }]);
  });

  it('tells a user who may not read the journal to use sudo', async () => {
    playProgram('journalctl', 'echo "No journal files were opened due to insufficient permissions." >&2; exit 1');
    expect(await run(log)).toMatchObject([{ severity: 'note', remedy: expect.stringContaining('sudo') }]);
  });
});

type Observation = Parameters<typeof judgeLog>[0];

const lines = (...texts: readonly string[]) => ({ lines: texts.map((text) => ({ at: 1000, priority: 6, text })) });
const own = (level: string, more: object = {}) => JSON.stringify({ level, msg: 'a message', ...more });

describe('judgeLog', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['lines without errors', lines(own('info'), own('warn'), 'Started'), [/^good: 3 lines, no errors$/]],
    [
      'an error of the agent',
      lines(own('error', { handler: 'relay.set', error: 'broken', remedy: 'Mend it.' })),
      [/^warning: 1 errors; the last:\n1970-01-01T00:00:01\.000Z a message relay\.set broken → Mend it\.$/],
    ],
    ['a fatal error without a remedy', lines(own('fatal')), [/^warning: 1 errors; .* → Read the lines around them/s]],
    [
      'the last three of several errors',
      { lines: ['one', 'two', 'three', 'four'].map((text) => ({ at: 1000, priority: 3, text })) },
      [/^warning: 4 errors; the last:\n[^\n]+ two\n[^\n]+ three\n[^\n]+ four → /],
    ],
    ['an error code without a log', lines('error config-invalid: x'), [/^warning: .*error config-invalid: x/s]],
    ['an uncaught error of Node', lines('TypeError: x'), [/^warning: .*TypeError: x/s]],
    ['a process killed by a signal', lines('a: Main process exited, code=dumped, status=6'), [/^warning: /]],
    ['a very long error', lines(`Error: ${'x'.repeat(1000)}`), [/^warning: 1 errors; the last:\n[^\n]{240} → /]],
    [
      'errors before the agent started',
      { ...lines('Error: x'), startedAt: 1001 },
      [/^note: 1 errors before the running agent was started; /],
    ],
    ['an error since the agent started', { ...lines('Error: x'), startedAt: 1000 }, [/^warning: /]],
    [
      'a journalctl that failed',
      { failed: 'journalctl: not permitted' },
      [/^note: journalctl: not permitted → Run it with sudo/],
    ],
    ['no lines', {}, [/^note: no lines that this user can see → Run it with sudo/]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeLog({ lines: [], startedAt: undefined, ...change }), expected);
  });
});
