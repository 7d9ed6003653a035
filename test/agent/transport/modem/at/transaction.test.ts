import { describe, expect, it } from 'vitest';
import type { ModemEvent } from '../../../../../agent/transport/modem/at/modem-event.js';
import type { AtRequest } from '../../../../../agent/transport/modem/at/request.js';
import {
  INPUT_TIMEOUT_MS,
  idleTransaction,
  PROBES,
  QUIET_MS,
  stepTransaction,
  type TransactionInput,
  type TransactionState,
} from '../../../../../agent/transport/modem/at/transaction.js';

const result = (command: string, text = 'OK', lines: readonly string[] = []): TransactionInput => ({
  type: 'event',
  event: { kind: 'result', command, text, ok: text.endsWith('OK'), lines, payloads: 0 },
});
const stray = (text: string): TransactionInput => ({
  type: 'event',
  event: { kind: 'result', text, ok: text === 'OK', lines: [], payloads: 0 },
});
const prompt: TransactionInput = { type: 'event', event: { kind: 'prompt' } };
const bytes: TransactionInput = { type: 'bytes' };
const urc = (line: string, loss?: 'reset'): TransactionInput => ({
  type: 'event',
  event: { kind: 'urc', line, ...(loss && { loss }) },
});
const opened = (error?: string): TransactionInput => ({
  type: 'event',
  event: { kind: 'opened', socket: 0, ...(error !== undefined && { error }) },
});

const PLAIN: AtRequest = { command: 'AT+CSQ', timeoutMs: 5000 };
const OPEN: AtRequest = {
  command: 'AT+QIOPEN',
  timeoutMs: 5000,
  second: {
    find: (event: ModemEvent) =>
      event.kind === 'opened' ? (event.error === undefined ? 'done' : { error: event.error }) : undefined,
    timeoutMs: 150_000,
  },
};
const SEND: AtRequest = {
  command: 'AT+QISEND',
  payload: Buffer.from('hello'),
  timeoutMs: 120_000,
  busy: { is: ({ text }) => text === 'SEND FAIL', waitMs: 200, times: 3 },
};

/** Feeds inputs at their times, with ticks when they are due; gives what was done, each with its time. */
function play(
  request: AtRequest,
  inputs: readonly (readonly [at: number, input: TransactionInput])[],
  until = 400_000,
): string[] {
  const log: string[] = [];
  let state: TransactionState = idleTransaction;
  const feed = (input: TransactionInput, now: number) => {
    const next = stepTransaction(state, input, now);
    state = next.state;
    for (const effect of next.effects) {
      if (effect.type === 'command') log.push(`${now} ${effect.command}`);
      else if (effect.type === 'payload') log.push(`${now} payload ${effect.bytes}`);
      else if (effect.type === 'pad') log.push(`${now} pad ${effect.bytes}`);
      else if (effect.type !== 'end') log.push(`${now} ${effect.type}`);
      else log.push(`${now} ${effect.outcome.ok ? 'ok' : `${effect.outcome.failure}: ${effect.outcome.error}`}`);
    }
  };
  const tickUntil = (at: number) => {
    for (let i = 0; i < 500 && state.dueAt < at; i++) feed({ type: 'tick' }, state.dueAt);
  };
  feed({ type: 'run', request }, 0);
  for (const [at, input] of inputs) {
    tickUntil(at);
    feed(input, at);
  }
  tickUntil(until);
  expect(state.phase).toBe('idle');
  return log;
}

describe('a command', () => {
  it('ends with its result', () => {
    expect(play(PLAIN, [[40, result('AT+CSQ')]])).toEqual(['0 AT+CSQ', '40 ok']);
    expect(play(PLAIN, [[40, result('AT+CSQ', '+CME ERROR: 10')]])).toEqual(['0 AT+CSQ', '40 refused: +CME ERROR: 10']);
    expect(play(PLAIN, [[40, result('AT+CSQ', 'ERROR', ['+CIPERROR: 3'])]]).at(-1)).toBe('40 refused: +CIPERROR: 3');
  });

  it('is not ended by a stray result, nor by URCs', () => {
    const inputs = [
      [10, stray('OK')],
      [20, urc('+CEREG: 5')],
      [30, stray('ERROR')],
      [40, result('AT+CSQ')],
    ] as const;
    expect(play(PLAIN, inputs)).toEqual(['0 AT+CSQ', '40 ok']);
  });

  it('without an answer is repeated once, after silence and a probe', () => {
    const inputs = [
      [5400, result('AT')],
      [5500, result('AT+CSQ')],
    ] as const;
    expect(play(PLAIN, inputs)).toEqual(['0 AT+CSQ', '5000 abandon-command', '5000 AT', '5450 AT+CSQ', '5500 ok']);
  });

  it('with a late answer during the silence does not confuse the next command', () => {
    const inputs = [
      [4900, bytes],
      [5100, bytes],
      // The late OK answers the probe; the probe's own is drained.
      [5410, bytes],
      [5410, result('AT')],
      [5440, bytes],
      [5440, stray('OK')],
      [5600, result('AT+CSQ')],
    ] as const;
    const log = play(PLAIN, inputs);
    expect(log).toEqual(['0 AT+CSQ', '5000 abandon-command', `${5100 + QUIET_MS} AT`, '5490 AT+CSQ', '5600 ok']);
  });

  it('without an answer to its repetition times out', () => {
    const inputs = [
      [5100, result('AT')],
      [10_300, result('AT')],
    ] as const;
    expect(play(PLAIN, inputs).at(-1)).toMatch(/ timeout: /);
  });

  it('to a modem that answers nothing ends as silent, after some probes', () => {
    const log = play(PLAIN, []);
    expect(log.filter((line) => line.endsWith(' AT'))).toHaveLength(PROBES);
    expect(log.slice(-2).map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'abandon-command',
      'silent: the modem does not answer',
    ]);
  });

  it('is followed by a probe also when the modem never becomes quiet', () => {
    const noise = Array.from({ length: 600 }, (_, index) => [5000 + index * 20, bytes] as const);
    expect(play(PLAIN, noise).filter((line) => line.endsWith(' AT')).length).toBeGreaterThan(0);
  });

  it('that may run once is neither repeated nor followed by a probe', () => {
    expect(play({ ...PLAIN, once: true }, [])).toEqual([
      '0 AT+CSQ',
      '5000 abandon-command',
      '5000 timeout: no answer to AT+CSQ',
    ]);
  });

  it('ends when the modem restarts or the port is lost', () => {
    expect(play(PLAIN, [[40, urc('RDY', 'reset')]]).at(-1)).toBe('40 reset: RDY');
    expect(play(PLAIN, [[40, { type: 'closed' }]]).at(-1)).toBe('40 closed: the serial port was lost');
  });

  it('that was aborted leaves the modem ready for the next one', () => {
    const inputs = [
      [40, { type: 'abort' }],
      [60, result('AT')],
    ] as const;
    expect(play(PLAIN, inputs)).toEqual([
      '0 AT+CSQ',
      '40 abandon-command',
      '40 AT',
      '110 aborted: no answer to AT+CSQ',
    ]);
  });
});

describe('a second result', () => {
  const answered = result('AT+QIOPEN');
  it.each([
    [
      'after OK',
      [
        [10, answered],
        [900, opened()],
      ],
      '900 ok',
    ],
    [
      'before OK',
      [
        [10, opened()],
        [20, answered],
      ],
      '20 ok',
    ],
    [
      'that is an error, after OK',
      [
        [10, answered],
        [900, opened('error 563')],
      ],
      '900 refused: error 563',
    ],
    [
      'that is an error, before OK',
      [
        [10, opened('error 563')],
        [20, answered],
      ],
      '20 refused: error 563',
    ],
    [
      'with URCs between',
      [
        [10, answered],
        [11, urc('RING')],
        [12, stray('OK')],
        [900, opened()],
      ],
      '900 ok',
    ],
    ['that is missing', [[10, answered]], '150010 timeout: no second result of AT+QIOPEN'],
  ] as const)('%s', (_what, inputs, last) => {
    expect(play(OPEN, inputs)).toEqual(['0 AT+QIOPEN', last]);
  });

  it('that is optional may be missing', () => {
    const second = { find: () => undefined, timeoutMs: 1000, optional: true } as const;
    expect(play({ ...PLAIN, second }, [[10, result('AT+CSQ')]])).toEqual(['0 AT+CSQ', '1010 ok']);
  });
});

describe('a send', () => {
  it('writes its payload right after the prompt, or after the time the modem needs', () => {
    const inputs = [
      [10, prompt],
      [90, result('AT+QISEND', 'SEND OK')],
    ] as const;
    expect(play(SEND, inputs)).toEqual(['0 AT+QISEND', '10 payload hello', '90 ok']);
    expect(play({ ...SEND, payloadDelayMs: 50 }, inputs)).toEqual(['0 AT+QISEND', '60 payload hello', '90 ok']);
  });

  it('does not write its payload when it is refused before the prompt, or between prompt and payload', () => {
    expect(play(SEND, [[10, result('AT+QISEND', 'ERROR')]])).toEqual(['0 AT+QISEND', '10 refused: ERROR']);
    const inputs = [
      [10, prompt],
      [20, result('AT+QISEND', 'ERROR')],
    ] as const;
    expect(play({ ...SEND, payloadDelayMs: 50 }, inputs)).toEqual(['0 AT+QISEND', '20 refused: ERROR']);
  });

  it('is repeated while the modem is busy, up to the limit', () => {
    const busy = [0, 1, 2, 3].flatMap((index) => [
      [10 + index * 300, prompt] as const,
      [20 + index * 300, result('AT+QISEND', 'SEND FAIL')] as const,
    ]);
    const log = play(SEND, busy);
    expect(log.filter((line) => line.includes('payload'))).toHaveLength(4);
    expect(log.at(-1)).toBe('920 refused: SEND FAIL');
    expect(play(SEND, [[10, result('AT+QISEND', 'ERROR')]])).toHaveLength(2);
  });

  it('without a result is never repeated: after a delay come a CR and a probe', () => {
    const inputs = [
      [10, prompt],
      [125_500, result('AT')],
    ] as const;
    expect(play(SEND, inputs)).toEqual([
      '0 AT+QISEND',
      '10 payload hello',
      '120010 abandon-command',
      `${120_010 + INPUT_TIMEOUT_MS} unstick`,
      `${120_010 + INPUT_TIMEOUT_MS} AT`,
      '125550 timeout: no answer to AT+QISEND',
    ]);
  });

  it('without a prompt is handled the same', () => {
    expect(play(SEND, [[15_400, result('AT')]]).filter((line) => line.includes('AT+QISEND'))).toEqual([
      '0 AT+QISEND',
      '15450 timeout: no answer to AT+QISEND',
    ]);
  });

  it('whose payload the modem keeps waiting for ends with zeros in its place, once, after all probes', () => {
    const log = play(SEND, [[18_500, result('AT')]]);
    expect(log.map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'AT+QISEND',
      'abandon-command',
      'unstick',
      ...Array.from({ length: PROBES }, () => 'AT'),
      'pad 5',
      'AT',
      'timeout: no answer to AT+QISEND: the modem waited for a payload and got zeros',
    ]);
    expect(play(SEND, []).filter((line) => line.includes('pad'))).toHaveLength(1);
  });

  it('is not confirmed by the confirmation of an earlier send', () => {
    const sent = (error?: string): TransactionInput => ({
      type: 'event',
      event: { kind: 'sent', socket: 0, ...(error !== undefined && { error }) },
    });
    const find = (event: ModemEvent) =>
      event.kind === 'sent' ? (event.error === undefined ? 'done' : { error: event.error }) : undefined;
    const request: AtRequest = { ...SEND, second: { find, timeoutMs: 1000 } };
    const inputs = [
      [5, sent('link lost')],
      [10, prompt],
      [20, result('AT+QISEND')],
      [30, sent()],
    ] as const;
    expect(play(request, inputs).at(-1)).toBe('30 ok');
  });
});
