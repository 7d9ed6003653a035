/** Reads the command line and the configuration from docs/, which `npm run docs` makes from the program itself. */
import { readFileSync } from 'node:fs';

const PROGRAM = 'supersim-agent';
/** The tags that yargs appends to a text: `[string] [required] [choices: "a", "b"] [default: []]`. */
const TAGS = /(?:\s*\[(?:string|number|boolean|array|count|required|choices:|default:)(?:[^[\]]|\[[^[\]]*\])*\])+$/;

/**
 * @typedef {{ term: string, text: string, tags: string }} Item
 * @typedef {object} Command
 * @property {string[]} path
 * @property {string} usage
 * @property {string} text
 * @property {Item[]} commands its subcommands
 * @property {Item[]} positionals
 * @property {Item[]} options
 * @property {string[]} examples lines as they are
 */

/** @returns {Command[]} the program's commands, itself first */
export function readCommands(file = 'docs/cli.md') {
  const sections = readFileSync(file, 'utf8').matchAll(/^## (.+)\n\n```\n([\s\S]*?)\n```$/gm);
  const own = [...sections].filter(([, title]) => title.split(' ')[0] === PROGRAM);
  if (own.length < 2) throw new Error(`${file} does not list the commands of ${PROGRAM}`);
  return own.map(([, title, help]) => {
    const [usage, ...blocks] = help.split('\n\n');
    const heading = /^(Commands|Positionals|Options|Examples):\n/;
    const linesOf = (name) =>
      blocks
        .find((block) => block.startsWith(`${name}:\n`))
        ?.split('\n')
        .slice(1) ?? [];
    const items = (name) => parseItems(linesOf(name));
    return {
      path: title.split(' ').slice(1),
      usage,
      text: joinLines(blocks.filter((block) => !heading.test(block)).flatMap((block) => block.split('\n'))),
      commands: items('Commands'),
      positionals: items('Positionals'),
      options: items('Options'),
      examples: linesOf('Examples'),
    };
  });
}

/** Parses items in two columns; a line with more indentation continues the text before. */
function parseItems(lines) {
  /** @type {string[][]} */
  const items = [];
  for (const line of lines) {
    if (/^ {2}\S/.test(line)) items.push([line]);
    else items.at(-1)?.push(line);
  }
  return items.map(([first = '', ...others]) => {
    // A long term has its text on the next line.
    const gap = /\S {2,}\S/.test(first) ? ' ' : '  ';
    const whole = others.length > 0 ? `${first}${gap}${joinLines(others)}` : first;
    const [, term = '', rest = ''] = /^ {2}(\S.*?)(?: {2,}(.*))?$/.exec(whole) ?? [];
    const tags = TAGS.exec(rest)?.[0] ?? '';
    return { term, text: rest.slice(0, rest.length - tags.length), tags };
  });
}

const joinLines = (lines) => lines.map((line) => line.trim()).join(' ');

/** Returns the values that an item's tags allow. */
export function choicesOf({ tags }) {
  const [, list = ''] = /\[choices: ([^\]]*)\]/.exec(tags) ?? [];
  return [...list.matchAll(/"([^"]*)"/g)].map(([, value]) => value);
}

/** Returns whether an option takes a value. */
export const takesValue = ({ tags }) => !tags.includes('[boolean]') && !tags.includes('[count]');

/** @returns {{ setting: string, values: string, preset: string, meaning: string, variable: string }[]} */
export function readSettings(file = 'docs/config.md') {
  const rows = readFileSync(file, 'utf8').matchAll(/^\| (`.*) \|$/gm);
  return [...rows].map(([, row]) => {
    const [setting, values, preset, meaning, variable] = row.split(/(?<!\\)\|/).map((cell) => cell.trim());
    return { setting, values, preset, meaning, variable };
  });
}
