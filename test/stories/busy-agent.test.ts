import { expect, it, vi } from 'vitest';
import { defineHandler } from '../../agent/handlers/handler.js';
import { CONTENT_FORMAT } from '../../shared/coap/content-format.js';
import { toCbor, toJson } from '../../shared/format/value.js';
import { requestBytes } from '../support/coap.js';
import { deferred } from '../support/deferred.js';
import { startPipeline } from '../support/pipeline.js';

const PULSE = {
  coap: requestBytes({ path: 'pulse', token: 'a', messageId: 7, contentFormat: CONTENT_FORMAT.text }),
  json: Buffer.from(toJson({ method: 'pulse', id: 'a' })),
  cbor: Buffer.from(toCbor({ method: 'pulse', id: 'a' })),
  text: Buffer.from('#a pulse'),
};

it.each(['coap', 'json', 'cbor', 'text'] as const)(
  '%s: what was refused as busy is not run by a copy that comes when there is room',
  async (format) => {
    const gate = deferred();
    let runs = 0;
    const { answers, receive, runner } = startPipeline({
      config: { limits: { running: 1, waiting: 0 } },
      handlers: [
        defineHandler({ name: 'hold', description: '', run: () => gate.promise }),
        defineHandler({ name: 'pulse', description: '', run: () => ++runs }),
      ],
    });
    receive('#h hold');
    expect(String(answers(PULSE[format]))).toContain('busy');
    gate.resolve();
    await vi.waitFor(() => expect(runner.running).toBe(0));
    expect(String(answers(PULSE[format]))).toContain('busy');
    expect(runs).toBe(0);
  },
);
