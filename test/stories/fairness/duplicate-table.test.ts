import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { MAX_REMEMBERED } from '../../../agent/command/dedup/duplicate-table.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { numberOption, requestBytes } from '../../support/coap.js';
import { FROM_CARRIER, startPipeline } from '../../support/pipeline.js';

const OWNER = { address: '192.0.2.1', port: 5683 };
const ATTACKER = { address: '192.0.2.66', port: 5683 };
const MORE_THAN_FIT = MAX_REMEMBERED + 216;

const text = { contentFormat: CONTENT_FORMAT.text };
const pulse = (number: number, payload = 'relay') =>
  requestBytes({ path: 'pulse', messageId: number & 0xffff, token: String(number), payload, ...text });
const ping = requestBytes({ path: 'ping', messageId: 1, token: 'ping', ...text });
const codesOf = (answers: readonly Buffer[]) => answers.map((bytes) => parseMessage(bytes).code);

/** An agent with a command that must not run twice, and no journal that would remember it instead of the table. */
function start() {
  const runs: string[] = [];
  const agent = startPipeline({
    config: { allow: ['192.0.2.0/24', '100.64.0.0/10'], limits: { waiting: 0, repliesPerSecond: 1_000_000 } },
    handlers: [
      defineHandler({
        name: 'pulse',
        description: '',
        params: z.object({ output: z.enum(['relay', 'lamp']) }),
        run: ({ output }) => void runs.push(output),
      }),
    ],
  });
  return {
    ...agent,
    runs,
    /** Sends so many requests, and returns the codes of their responses, each once. */
    codes(count: number, request: (number: number) => Buffer, source: Endpoint): string[] {
      const codes = new Set<string>();
      for (let number = 0; number < count; number++) {
        for (const code of codesOf(agent.answers(request(number), source))) codes.add(code);
      }
      return [...codes];
    },
  };
}

describe.each([
  ['a direct peer', ATTACKER, OWNER],
  ['another address of the carrier', { ...FROM_CARRIER, address: '100.64.0.66' }, FROM_CARRIER],
])('%s that sends more than the duplicate table holds', (_who, attacker, owner) => {
  it('of requests with wrong parameters takes nothing from anybody, nor from itself', () => {
    const { answers, codes, runs } = start();
    expect(codes(MORE_THAN_FIT, (number) => pulse(number, 'nonsense'), attacker)).toEqual(['4.00']);
    for (const [source, first] of [
      [owner, 0],
      [attacker, 100],
    ] as const) {
      expect(codesOf(answers(ping, source))).toEqual(['2.04']);
      expect(codes(100, (number) => pulse(first + number, 'lamp'), source)).toEqual(['2.04']);
    }
    expect(runs).toHaveLength(200);
  });

  it('of text commands with wrong parameters takes nothing from anybody', () => {
    const { answers } = start();
    for (let number = 0; number < MORE_THAN_FIT; number++) answers(`#${number} pulse nonsense`, attacker);
    for (const [source, id] of [
      [owner, 1],
      [attacker, 2],
    ] as const) {
      expect(String(answers(`#${id} pulse relay`, source))).toBe(`#${id} ok`);
      expect(String(answers(`#${id} pulse relay`, source))).toBe(`#${id} repeat ok`);
    }
  });

  it('of commands that have run is refused in the end, while another runs a thousand, each of them once', () => {
    const { answers, codes, runs } = start();
    expect(codes(MORE_THAN_FIT, pulse, attacker)).toEqual(['2.04', '5.03']);
    const ran = runs.length;
    const lamp = (number: number) => pulse(number, 'lamp');
    for (let times = 0; times < 2; times++) expect(codes(1000, lamp, owner)).toEqual(['2.04']);
    expect(runs).toHaveLength(ran + 1000);
    expect(codesOf(answers(ping, attacker))).toEqual(['2.04']);
  });

  it('of commands that are refused as their deadline has passed takes nothing from anybody', () => {
    const { answers } = start();
    const late = (number: number) => JSON.stringify({ id: number, method: 'pulse', params: ['relay'], deadline: 1 });
    for (let number = 0; number < MORE_THAN_FIT; number++) answers(late(number), attacker);
    expect(String(answers(late(0), attacker))).toContain('deadline');
    expect(codesOf(answers(pulse(1), attacker))).toEqual(['2.04']);
    expect(codesOf(answers(pulse(2), owner))).toEqual(['2.04']);
  });
});

it('a command that finds no room is told to come back, and that it may run then', () => {
  const { answers, codes, runs, counters } = start();
  codes(MORE_THAN_FIT, pulse, ATTACKER);
  const [ran, refused] = [runs.length, counters.outcomes.refused];
  const response = parseMessage(answers(pulse(MORE_THAN_FIT), ATTACKER)[0] ?? Buffer.alloc(0));
  expect(String(response.payload)).toContain('busy: the duplicate table is full');
  expect(numberOption(response, OPTION.maxAge)).toBe(5);
  expect(response.options.map(({ number }) => number)).toContain(OPTION.unrecorded);
  expect(runs).toHaveLength(ran);
  expect(counters.outcomes.refused).toBe(refused + 1);
});
