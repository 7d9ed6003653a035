import { describe, expect, it } from 'vitest';
import { wasNeverSent } from '../../../sender/api/network-error.js';

/** What `fetch` rejects with: a TypeError whose cause is the system's or undici's error. */
const fetchFailed = (cause: unknown) => new TypeError('fetch failed', { cause });
const because = (members: Record<string, string>) => Object.assign(new Error('no'), members);

describe('wasNeverSent', () => {
  it.each([
    ['nobody listens', because({ code: 'ECONNREFUSED', syscall: 'connect' })],
    ['no route', because({ code: 'EHOSTUNREACH', syscall: 'connect' })],
    ['the system gave up connecting', because({ code: 'ETIMEDOUT', syscall: 'connect' })],
    ['no such name', because({ code: 'ENOTFOUND', syscall: 'getaddrinfo' })],
    ['no name server', because({ code: 'EAI_AGAIN', syscall: 'getaddrinfo' })],
    ['fetch gave up connecting', because({ code: 'UND_ERR_CONNECT_TIMEOUT' })],
    ['a certificate that ran out', because({ code: 'CERT_HAS_EXPIRED' })],
    ['another host’s certificate', because({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })],
    ['a port that fetch refuses', new Error('bad port')],
    [
      'every address refused',
      new AggregateError([
        because({ code: 'ECONNREFUSED', syscall: 'connect' }),
        because({ code: 'ENETUNREACH', syscall: 'connect' }),
      ]),
    ],
  ])('is true when %s', (_, cause) => {
    expect(wasNeverSent(fetchFailed(cause))).toBe(true);
  });

  it.each([
    ['the connection was reset', because({ code: 'ECONNRESET', syscall: 'read' })],
    ['the answer never came', because({ code: 'ETIMEDOUT', syscall: 'read' })],
    ['the route went away later', because({ code: 'EHOSTUNREACH', syscall: 'write' })],
    ['the other side closed', because({ code: 'UND_ERR_SOCKET' })],
    ['the headers did not come', because({ code: 'UND_ERR_HEADERS_TIMEOUT' })],
    ['one address got further', new AggregateError([because({ syscall: 'connect' }), because({ syscall: 'read' })])],
    ['there is no cause', undefined],
  ])('is false when %s', (_, cause) => {
    expect(wasNeverSent(fetchFailed(cause))).toBe(false);
  });

  it('is false for a value that is not an error', () => {
    expect(wasNeverSent('connect')).toBe(false);
  });
});
