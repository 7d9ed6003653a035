import { deriveContext, type SecurityContext } from '../../shared/oscore/context.js';

const hex = (text: string) => Buffer.from(text, 'hex');

/** A security context of RFC 8613, Appendix C; bytes are in hexadecimal. */
export interface ContextVector {
  readonly name: string;
  readonly masterSalt?: string;
  readonly idContext?: string;
  readonly senderId: string;
  readonly recipientId: string;
  readonly senderKey: string;
  readonly recipientKey: string;
  /** Nonces of the Partial IV 0. */
  readonly senderNonce: string;
  readonly recipientNonce: string;
}

const SALT = '9e7ca92223786340';
const ID_CONTEXT = '37cbf3210017a2d3';

const C1_CLIENT: ContextVector = {
  name: 'C.1, client, with a Master Salt',
  masterSalt: SALT,
  senderId: '',
  recipientId: '01',
  senderKey: 'f0910ed7295e6ad4b54fc793154302ff',
  recipientKey: 'ffb14e093c94c9cac9471648b4f98710',
  senderNonce: '4622d4dd6d944168eefb54987c',
  recipientNonce: '4722d4dd6d944169eefb54987c',
};

const C1_SERVER: ContextVector = {
  name: 'C.1, server, with a Master Salt',
  masterSalt: SALT,
  senderId: '01',
  recipientId: '',
  senderKey: 'ffb14e093c94c9cac9471648b4f98710',
  recipientKey: 'f0910ed7295e6ad4b54fc793154302ff',
  senderNonce: '4722d4dd6d944169eefb54987c',
  recipientNonce: '4622d4dd6d944168eefb54987c',
};

const C2_CLIENT: ContextVector = {
  name: 'C.2, client, without a Master Salt',
  senderId: '00',
  recipientId: '01',
  senderKey: '321b26943253c7ffb6003b0b64d74041',
  recipientKey: 'e57b5635815177cd679ab4bcec9d7dda',
  senderNonce: 'bf35ae297d2dace910c52e99f9',
  recipientNonce: 'bf35ae297d2dace810c52e99f9',
};

const C2_SERVER: ContextVector = {
  name: 'C.2, server, without a Master Salt',
  senderId: '01',
  recipientId: '00',
  senderKey: 'e57b5635815177cd679ab4bcec9d7dda',
  recipientKey: '321b26943253c7ffb6003b0b64d74041',
  senderNonce: 'bf35ae297d2dace810c52e99f9',
  recipientNonce: 'bf35ae297d2dace910c52e99f9',
};

const C3_CLIENT: ContextVector = {
  name: 'C.3, client, with an ID Context',
  masterSalt: SALT,
  idContext: ID_CONTEXT,
  senderId: '',
  recipientId: '01',
  senderKey: 'af2a1300a5e95788b356336eeecd2b92',
  recipientKey: 'e39a0c7c77b43f03b4b39ab9a268699f',
  senderNonce: '2ca58fb85ff1b81c0b7181b85e',
  recipientNonce: '2da58fb85ff1b81d0b7181b85e',
};

const C3_SERVER: ContextVector = {
  name: 'C.3, server, with an ID Context',
  masterSalt: SALT,
  idContext: ID_CONTEXT,
  senderId: '01',
  recipientId: '',
  senderKey: 'e39a0c7c77b43f03b4b39ab9a268699f',
  recipientKey: 'af2a1300a5e95788b356336eeecd2b92',
  senderNonce: '2da58fb85ff1b81d0b7181b85e',
  recipientNonce: '2ca58fb85ff1b81c0b7181b85e',
};

/** Appendices C.1 to C.3. */
export const CONTEXT_VECTORS = [C1_CLIENT, C1_SERVER, C2_CLIENT, C2_SERVER, C3_CLIENT, C3_SERVER];

export const contextOf = ({ masterSalt, idContext, senderId, recipientId }: ContextVector): SecurityContext =>
  deriveContext({
    masterSecret: hex('0102030405060708090a0b0c0d0e0f10'),
    masterSalt: masterSalt === undefined ? undefined : hex(masterSalt),
    idContext: idContext === undefined ? undefined : hex(idContext),
    senderId: hex(senderId),
    recipientId: hex(recipientId),
  });

interface MessageVector {
  readonly name: string;
  readonly client: ContextVector;
  readonly server: ContextVector;
  readonly unprotected: string;
  readonly aad: string;
  readonly plaintext: string;
  readonly nonce: string;
  readonly option: string;
  readonly ciphertext: string;
  readonly protected: string;
}

/** Appendices C.4 to C.6; each request has the sequence number 20. */
export const REQUEST_VECTORS: readonly (MessageVector & { readonly sendsKidContext: boolean })[] = [
  {
    name: 'C.4',
    client: C1_CLIENT,
    server: C1_SERVER,
    sendsKidContext: false,
    unprotected: '44015d1f00003974396c6f63616c686f737483747631',
    aad: '8368456e63727970743040488501810a40411440',
    plaintext: '01b3747631',
    nonce: '4622d4dd6d944168eefb549868',
    option: '0914',
    ciphertext: '612f1092f1776f1c1668b3825e',
    protected: '44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e',
  },
  {
    name: 'C.5',
    client: C2_CLIENT,
    server: C2_SERVER,
    sendsKidContext: false,
    unprotected: '440171c30000b932396c6f63616c686f737483747631',
    aad: '8368456e63727970743040498501810a4100411440',
    plaintext: '01b3747631',
    nonce: 'bf35ae297d2dace910c52e99ed',
    option: '091400',
    ciphertext: '4ed339a5a379b0b8bc731fffb0',
    protected: '440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0',
  },
  {
    name: 'C.6',
    client: C3_CLIENT,
    server: C3_SERVER,
    sendsKidContext: true,
    unprotected: '44012f8eef9bbf7a396c6f63616c686f737483747631',
    aad: '8368456e63727970743040488501810a40411440',
    plaintext: '01b3747631',
    nonce: '2ca58fb85ff1b81c0b7181b84a',
    option: '19140837cbf3210017a2d3',
    ciphertext: '72cd7273fd331ac45cffbe55c3',
    protected: '44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3',
  },
];

/** Appendices C.7 and C.8: responses to the request of C.4, without and with a Partial IV. */
export const RESPONSE_VECTORS: readonly (MessageVector & { readonly number: number | 'request-nonce' })[] = [
  {
    name: 'C.7',
    client: C1_CLIENT,
    server: C1_SERVER,
    number: 'request-nonce',
    unprotected: '64455d1f00003974ff48656c6c6f20576f726c6421',
    aad: '8368456e63727970743040488501810a40411440',
    plaintext: '45ff48656c6c6f20576f726c6421',
    nonce: '4622d4dd6d944168eefb549868',
    option: '',
    ciphertext: 'dbaad1e9a7e7b2a813d3c31524378303cdafae119106',
    protected: '64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106',
  },
  {
    name: 'C.8',
    client: C1_CLIENT,
    server: C1_SERVER,
    number: 0,
    unprotected: '64455d1f00003974ff48656c6c6f20576f726c6421',
    aad: '8368456e63727970743040488501810a40411440',
    plaintext: '45ff48656c6c6f20576f726c6421',
    nonce: '4722d4dd6d944169eefb54987c',
    option: '0100',
    ciphertext: '4d4c13669384b67354b2b6175ff4b8658c666a6cf88e',
    protected: '64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e',
  },
];

/** The sequence number of the requests in {@link REQUEST_VECTORS}. */
export const VECTOR_NUMBER = 20;
