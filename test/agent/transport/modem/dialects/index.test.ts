import { describe, expect, it } from 'vitest';
import { DIALECT_NAMES } from '../../../../../agent/config/dialect-names.js';
import {
  DIALECTS,
  dialectOf,
  HEX_SENDS,
  PLAIN,
  SLOW_COMMANDS,
} from '../../../../../agent/transport/modem/dialects/index.js';

describe('the table of dialects', () => {
  it('has one row for each name of the configuration', () => {
    expect(Object.keys(DIALECTS).sort()).toEqual([...DIALECT_NAMES].sort());
  });

  it.each(DIALECT_NAMES)('has the words of %s for a modem whose model is unknown', (name) => {
    const { grammar, slowCommands, hexSends } = DIALECTS[name];
    const { sendResults, errorNames, answerNames, namedAnswers } = grammar.words;
    expect(PLAIN.words).toMatchObject({
      sendResults: expect.arrayContaining([...sendResults]),
      errorNames: expect.arrayContaining([...errorNames]),
      answerNames,
      namedAnswers: expect.arrayContaining([...namedAnswers]),
    });
    expect(SLOW_COMMANDS).toEqual(expect.arrayContaining([...slowCommands]));
    expect(HEX_SENDS).toEqual(expect.arrayContaining([...hexSends]));
  });
});

describe('dialectOf', () => {
  it.each([
    ['EC25', 'quectel'],
    ['BG96', 'quectel'],
    ['BG95-M3', 'quectel'],
    ['EG25', 'quectel'],
    ['EG91', 'quectel'],
    ['SIMCOM_SIM7600G-H', 'simcom7600'],
    ['A7670E-FASE', 'simcom7600'],
    ['SIM7500A', 'simcom7600'],
    ['SIM7080', 'simcom7080'],
    ['SIMCOM_SIM7070G', 'simcom7080'],
    ['SARA-R410M-02B', 'ublox'],
    ['SARA-R510S', 'ublox'],
    ['LARA-R211', 'ublox'],
  ])('returns the dialect of the model %s: %s', (model, name) => {
    expect(dialectOf(model)).toBe(name);
  });

  it.each([
    'SIMCOM_SIM7000G',
    'SIM800L',
    'Quectel_M95',
    'M95',
    'UG96',
    'BC95-G',
    'BC66',
    'nRF9160-SICA',
    'ME910C1-E1',
    'LE910C4-NF',
    'HL7802',
    '',
  ])('refuses the model %s', (model) => {
    expect(() => dialectOf(model)).toThrowError(expect.objectContaining({ code: 'modem-unknown' }));
  });
});
