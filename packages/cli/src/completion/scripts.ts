/**
 * What a shell reads once. It asks `inpod __complete SHELL -- …` at each Tab and gets lines back: first
 * `words`, `files` or `command`, then one candidate in a line, with a tab before what it is about.
 */
import type { Shell } from "./arguments.ts";

/** bash 3.2 of macOS has neither mapfile nor compopt. */
const BASH = `# bash completion for inpod
_inpod() {
  local line kind='' current="\${COMP_WORDS[COMP_CWORD]}" open=''
  COMPREPLY=()
  [ "$current" = '=' ] && current=''
  while IFS= read -r line; do
    if [ -z "$kind" ]; then kind=$line; continue; fi
    line=\${line%%$'\\t'*}
    case $line in *[/=,]) open=yes ;; esac
    COMPREPLY+=("$line")
  done < <("\${COMP_WORDS[0]/#\\~/$HOME}" __complete bash -- "\${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null </dev/null)
  case $kind in
    files)
      type compopt >/dev/null 2>&1 && compopt -o filenames
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
      ;;
    command)
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -c -- "$current")
      ;;
  esac
  if [ -n "$open" ] && type compopt >/dev/null 2>&1; then compopt -o nospace; fi
}
complete -F _inpod inpod
`;

const ZSH = `#compdef inpod
_inpod() {
  local line kind='' word
  local -a plain open shown
  while IFS= read -r line; do
    if [[ -z $kind ]]; then kind=$line; continue; fi
    word=\${line%%$'\\t'*}
    if [[ $word == *[/=,] ]]; then open+=("$word"); continue; fi
    plain+=("$word")
    if [[ $line == *$'\\t'* ]]; then shown+=("$word  -- \${line#*$'\\t'}"); else shown+=("$word"); fi
  done < <("\${words[1]/#\\~/$HOME}" __complete zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null </dev/null)
  case $kind in
    files) _files ;;
    command) _command_names -e ;;
  esac
  (( $#plain )) && compadd -l -d shown -a plain
  (( $#open )) && compadd -S '' -a open
}
if [[ \${funcstack[1]} == _inpod ]]; then _inpod "$@"; else compdef _inpod inpod; fi
`;

const FISH = `# fish completion for inpod
function __inpod_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l answer ($program __complete fish -- $words[2..-1] "$current" 2>/dev/null </dev/null)
    switch "$answer[1]"
        case words
            test (count $answer) -gt 1; and printf '%s\\n' $answer[2..-1]
        case files
            __fish_complete_path "$current"
        case command
            complete -C "$current"
    end
end
complete -c inpod -f -a '(__inpod_complete)'
`;

export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
