/** The manual pages: supersim-agent(1), the command line, and supersim-agent(5), its configuration. */
import { readCommands, readSettings, takesValue } from './reference.mjs';

/** Options of every command, listed once. */
const COMMON = ['--help', '--version'];

/** @param {{ version: string, date: string }} release */
export function commandPage({ version, date }) {
  const [program, ...commands] = readCommands();
  return page(
    header('1', date, version, 'User Commands'),
    section('NAME', 'supersim\\-agent \\- runs commands that reach this device as Super SIM IP Commands'),
    section('SYNOPSIS', '.B supersim\\-agent\n.I command\n.RI [ option ...]'),
    section(
      'DESCRIPTION',
      roff(
        'A Super SIM is behind the operator’s NAT. Its owner reaches the device by UDP datagrams of at most 1300 bytes, ' +
          'which the network forwards to a port of the device. The agent listens on that port, decodes each datagram ' +
          'into a command, runs the command’s handler, and sends the reply.',
      ),
      '.PP',
      roff('As a service it is `supersim-agent.service`; `systemctl` starts and stops it, `journalctl` shows its log.'),
    ),
    section('COMMANDS', ...commands.map(command)),
    section('OPTIONS', roff('Options of every command.'), ...program.options.map(option)),
    section(
      'FILES',
      ...definition('`/etc/supersim-agent/config.yaml`', 'Configuration, see `supersim-agent`(5).'),
      ...definition('`/var/lib/supersim-agent`', 'Journal and outbox.'),
      ...definition('`/run/supersim-agent/control.sock`', 'Control socket of the running agent.'),
    ),
    section('SEE ALSO', roff('`supersim-agent`(5), `systemctl`(1), `journalctl`(1)')),
  );
}

/** @param {{ version: string, date: string }} release */
export function configurationPage({ version, date }) {
  return page(
    header('5', date, version, 'File Formats'),
    section('NAME', 'supersim\\-agent \\- configuration of the agent for Super SIM IP Commands'),
    section('SYNOPSIS', '.I /etc/supersim\\-agent/config.yaml'),
    section(
      'DESCRIPTION',
      roff(
        'A YAML file; `--config` or the variable `SUPERSIM_AGENT_CONFIG` names another. All settings are optional. ' +
          'Variables override the file, and flags override variables; the value of a variable is read as YAML. ' +
          'Durations are a number with `ms`, `s`, `min` or `h`. `supersim-agent config check` reports mistakes.',
      ),
      '.PP',
      roff(
        'It may hold the SIM’s PIN and secrets of handlers, so only root and the agent may read it: it belongs to ' +
          '`root:supersim-agent`, with mode 640. Commands that read it need `sudo`.',
      ),
    ),
    section('SETTINGS', ...readSettings().flatMap(setting)),
    section('SEE ALSO', roff('`supersim-agent`(1)')),
  );
}

function command({ usage, text, positionals, options, examples }) {
  return [
    `.SS ${escaped(usage)}`,
    roff(text),
    ...positionals.flatMap((item) => definition(`<${item.term}>`, item.text)),
    ...options.filter(({ term }) => !COMMON.includes(term)).flatMap(option),
    ...(examples.length > 0 ? ['.PP', 'Examples:', '.EX', ...examples.map((line) => guard(escaped(line))), '.EE'] : []),
  ].join('\n');
}

function option(item) {
  const [, choices] = /\[choices: ([^\]]*)\]/.exec(item.tags) ?? [];
  const notes = [
    ...(choices === undefined ? [] : [`one of ${choices.replaceAll('"', '')}`]),
    ...(item.tags.includes('[required]') ? ['required'] : []),
  ];
  const text = notes.length > 0 ? `${item.text} (${notes.join('; ')})` : item.text;
  return definition(`\`${item.term}\`${takesValue(item) ? ' <value>' : ''}`, text).join('\n');
}

function setting({ setting: name, values, preset, meaning, variable }) {
  const facts = [values, ...(preset ? [`default ${preset}`] : []), ...(variable ? [variable] : [])];
  return [...definition(name, meaning), '.br', roff(facts.join('; '))];
}

const page = (...parts) => `${parts.join('\n')}\n`;
const header = (number, date, version, title) =>
  `.TH SUPERSIM\\-AGENT ${number} ${date} "supersim\\-agent ${version}" "${title}"`;
const section = (name, ...parts) => [`.SH ${name}`, ...parts].join('\n');
const definition = (term, text) => ['.TP', roff(term), roff(text)];

/** Converts text with `bold` and <italic> parts. */
function roff(text) {
  const parts = text.replaceAll('\\|', '|').split(/(`[^`]+`|<[a-z]+>)/);
  return guard(
    parts
      .map((part) => {
        if (part.startsWith('`')) return `\\fB${escaped(part.slice(1, -1))}\\fR`;
        return /^<[a-z]+>$/.test(part) ? `\\fI${part.slice(1, -1)}\\fR` : escaped(part);
      })
      .join(''),
  );
}

const escaped = (text) => text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
/** A line that begins with one of these characters would be a roff request. */
const guard = (line) => line.replace(/^(?=[.'])/, '\\&');
