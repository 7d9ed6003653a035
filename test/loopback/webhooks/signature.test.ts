import fc from 'fast-check';
import twilio from 'twilio';
import { expect, test } from 'vitest';
import { koreSignature, twilioSignature } from '../../../loopback/webhooks/signature.js';

const params = {
  To: '+18005551212',
  CallSid: 'CA1234567890ABCDE',
  From: '+12349013030',
  Digits: '1234',
  Caller: '+12349013030',
};

test('the Twilio signature matches the vendor’s published example', () => {
  expect(twilioSignature('12345', 'https://mycompany.com/myapp.php?foo=1&bar=2', params)).toBe(
    '0/KCTR6DLpKmkAf8muzZqo1nDgQ=',
  );
});

test('the official client accepts a Twilio signature, and no changed request', () => {
  const url = 'https://example.com/hook?a=1';
  const signature = twilioSignature('token', url, params);
  expect(twilio.validateRequest('token', signature, url, params)).toBe(true);
  expect(twilio.validateRequest('token', signature, url, { ...params, Digits: '1235' })).toBe(false);
  expect(twilio.validateRequest('other', signature, url, params)).toBe(false);
  expect(twilio.validateRequest('token', signature, `${url}0`, params)).toBe(false);
});

test('the official client accepts a Twilio signature for any names and values', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,8}$/), fc.string({ unit: 'grapheme' })), (any) => {
      const signature = twilioSignature('token', 'http://127.0.0.1:8080/hook', any);
      return twilio.validateRequest('token', signature, 'http://127.0.0.1:8080/hook', any);
    }),
  );
});

test('the KORE signature matches the vendor’s published example', () => {
  expect(koreSignature('12345', 'POST', 'https://testendpoint.com', 'field1=value1&field2=value2')).toBe(
    'f562d3959f68b5a30fc7a63f8bbf40987f633575f4231ffceb4f76dd154ea3ce',
  );
});

test('the KORE signature does not cover the query and the fragment', () => {
  const signature = koreSignature('12345', 'POST', 'https://a.example/hook', 'a=1');
  expect(koreSignature('12345', 'POST', 'https://a.example/hook?b=2#rc=2', 'a=1')).toBe(signature);
  expect(koreSignature('12345', 'GET', 'https://a.example/hook', 'a=1')).not.toBe(signature);
});
