import { createHash } from 'node:crypto';
import fc from 'fast-check';
import twilio from 'twilio';
import { describe, expect, it } from 'vitest';
import { koreSignature, twilioSignature } from '../../../sender/webhooks/sign.js';
import { isSignedByKore, isSignedByTwilio, type SignedRequest } from '../../../sender/webhooks/signature.js';

function post(url: string, body: string): SignedRequest {
  return { method: 'POST', url, body, form: new URLSearchParams(body) };
}

describe('Twilio’s signature', () => {
  const TOKEN = '12345';
  const URL_OF_EXAMPLE = 'https://mycompany.com/myapp.php?foo=1&bar=2';
  const FORM = {
    CallSid: 'CA1234567890ABCDE',
    Caller: '+12349013030',
    Digits: '1234',
    From: '+12349013030',
    To: '+18005551212',
  };
  const SIGNATURE = '0/KCTR6DLpKmkAf8muzZqo1nDgQ=';
  const example = post(URL_OF_EXAMPLE, new URLSearchParams(FORM).toString());

  it('is right in the published example', () => {
    expect(isSignedByTwilio(TOKEN, SIGNATURE, example)).toBe(true);
  });

  it.each<[string, string, string, SignedRequest]>([
    ['token', '12346', SIGNATURE, example],
    ['signature', TOKEN, SIGNATURE.replace('0', '1'), example],
    ['shorter signature', TOKEN, SIGNATURE.slice(0, -1), example],
    ['host', TOKEN, SIGNATURE, { ...example, url: URL_OF_EXAMPLE.replace('my', 'your') }],
    ['query', TOKEN, SIGNATURE, { ...example, url: URL_OF_EXAMPLE.replace('foo=1', 'foo=2') }],
    ['scheme', TOKEN, SIGNATURE, { ...example, url: URL_OF_EXAMPLE.replace('https', 'http') }],
    ['parameter', TOKEN, SIGNATURE, post(URL_OF_EXAMPLE, new URLSearchParams({ ...FORM, Digits: '1235' }).toString())],
    ['parameter more', TOKEN, SIGNATURE, post(URL_OF_EXAMPLE, new URLSearchParams({ ...FORM, a: '' }).toString())],
  ])('is wrong with another %s', (what, token, signature, request) => {
    // A parameter without a value has its name signed.
    expect([what, isSignedByTwilio(token, signature, request)]).toEqual([what, false]);
  });

  it.each([
    ['https://a.example/hook', 'https://a.example:443/hook'],
    ['https://a.example:443/hook', 'https://a.example/hook'],
    ['http://a.example/hook?x=1', 'http://a.example:80/hook?x=1'],
    ['http://a.example:8080/hook', 'http://a.example/hook'],
    ["https://a.example/hook?x=it's", 'https://a.example/hook?x=it%27s'],
  ])('is right when %s was signed as %s', (requested, signed) => {
    const signature = twilio.getExpectedTwilioSignature('token', signed, { a: '1' });
    expect(isSignedByTwilio('token', signature, post(requested, 'a=1'))).toBe(true);
    expect(twilio.validateRequest('token', signature, requested, { a: '1' })).toBe(true);
  });

  it('agrees with the official client on any parameters', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), fc.webUrl({ withQueryParameters: true }), (params, url) => {
        const form = new URLSearchParams(params);
        const request = { method: 'POST', url, body: form.toString(), form };
        const read = Object.fromEntries(form);
        const signature = twilio.getExpectedTwilioSignature('token', url, read);
        expect(isSignedByTwilio('token', signature, request)).toBe(true);
        expect(isSignedByTwilio('other', signature, request)).toBe(false);
        // And the other way: the official client checks what we sign.
        const ours = twilioSignature('token', url, form);
        expect(ours).toBe(signature);
        expect(twilio.validateRequest('token', ours, url, read)).toBe(true);
        expect(twilio.validateRequest('other', ours, url, read)).toBe(false);
      }),
    );
  });

  it('of a GET covers its query', () => {
    const url = 'https://a.example/hook?Payload=cG9uZw%3D%3D&SimUniqueName=gateway-1';
    const signature = twilio.getExpectedTwilioSignature('token', url, {});
    const get = { method: 'GET', url, body: '', form: undefined };
    expect(isSignedByTwilio('token', signature, get)).toBe(true);
    expect(isSignedByTwilio('token', signature, { ...get, url: url.replace('-1', '-2') })).toBe(false);
  });

  it('of JSON covers the digest of the body, and with it the body', () => {
    const body = JSON.stringify({ Payload: 'cG9uZw==' });
    const url = `https://a.example/hook?bodySHA256=${twilio.getExpectedBodyHash(body)}`;
    const signature = twilio.getExpectedTwilioSignature('token', url, {});
    const json = { method: 'POST', url, body, form: undefined };
    expect(twilio.validateRequestWithBody('token', signature, url, body)).toBe(true);
    expect(isSignedByTwilio('token', signature, json)).toBe(true);
    expect(isSignedByTwilio('token', signature, { ...json, body: body.replace('cG', 'cH') })).toBe(false);
    const bare = 'https://a.example/hook';
    const bareSignature = twilio.getExpectedTwilioSignature('token', bare, {});
    expect(isSignedByTwilio('token', bareSignature, { ...json, url: bare })).toBe(false);
  });
});

describe('KORE’s signature', () => {
  const sign = (...parts: string[]) => createHash('sha256').update(parts.join('')).digest('hex');
  const example = post('https://testendpoint.com', 'field1=value1&field2=value2');

  it('is right in the published example', () => {
    const signature = 'f562d3959f68b5a30fc7a63f8bbf40987f633575f4231ffceb4f76dd154ea3ce';
    expect(koreSignature('12345', 'POST', 'https://testendpoint.com', example.body)).toBe(signature);
    expect(isSignedByKore('12345', signature, example)).toBe(true);
    expect(isSignedByKore('12345', signature, { ...example, url: 'https://testendpoint.com/' })).toBe(true);
    expect(isSignedByKore('12346', signature, example)).toBe(false);
    expect(isSignedByKore('12345', signature, { ...example, body: `${example.body}&a=1` })).toBe(false);
    expect(isSignedByKore('12345', signature, { ...example, url: 'https://testendpoint.com/a' })).toBe(false);
    expect(isSignedByKore('12345', '', example)).toBe(false);
  });

  it.each([
    ['without its query', 'https://a.example/hook?tenant=a', 'https://a.example/hook'],
    ['with it, as an older page says', 'https://a.example/hook?tenant=a', 'https://a.example/hook?tenant=a'],
    ['with its port', 'https://a.example/hook', 'https://a.example:443/hook'],
    ['without its port', 'http://a.example:8080/hook', 'http://a.example/hook'],
  ])('may be of the URL %s', (_, requested, signed) => {
    expect(isSignedByKore('secret', sign('secret', 'POST', signed, 'a=1'), post(requested, 'a=1'))).toBe(true);
    expect(isSignedByKore('secret', sign('secret', 'GET', signed, 'a=1'), post(requested, 'a=1'))).toBe(false);
  });

  it('is wrong for a body that was extended without the secret', () => {
    // A SHA-256 can be carried on after its padding, which begins with the byte 0x80 and zeros.
    const body = 'a=1\x80\0\0&Payload=evil';
    expect(
      isSignedByKore('secret', sign('secret', 'POST', 'https://a.example/', body), post('https://a.example/', body)),
    ).toBe(false);
  });
});
