/** Makes the completion for bash. The words are written out, so that no program runs for a tab. */
import { choicesOf, readCommands, takesValue } from './reference.mjs';

export function bashCompletion() {
  const commands = readCommands();
  const options = commands.flatMap((command) => command.options);
  const choices = new Map(options.filter((item) => choicesOf(item).length > 0).map((item) => [item.term, item]));
  const anyValue = options.filter((item) => takesValue(item) && !choices.has(item.term));
  const paths = commands.filter(({ path }) => path.length > 0).map(({ path }) => `' ${path.join(' ')}'`);
  return `# bash completion for supersim-agent

_supersim_agent() {
  local path= word words i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$path $word" in
      ${paths.join(' | ')}) path+=" $word" ;;
    esac
  done
  case $path in
${commands.map((command) => `    ${words(`'${['', ...command.path].join(' ')}'`, wordsOf(command))}`).join('\n')}
  esac
  case $3 in
${[...choices].map(([term, item]) => `    ${words(term, choicesOf(item))}`).join('\n')}
    ${namesOf(anyValue).join(' | ')}) return ;; # file names
  esac
  COMPREPLY=($(compgen -W "$words" -- "$2"))
}
complete -o default -F _supersim_agent supersim-agent
`;
}

const words = (pattern, list) => `${pattern}) words='${list.join(' ')}' ;;`;

/** Returns the words that may follow a command: its subcommands, values and options. */
function wordsOf({ path, commands, positionals, options }) {
  const below = commands.map(({ term }) => term.split(' ')[path.length + 1]);
  return [...below, ...positionals.flatMap(choicesOf), ...namesOf(options)];
}

const namesOf = (items) => [...new Set(items.flatMap(({ term }) => term.split(', ')))].sort();
