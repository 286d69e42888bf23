"""`ndzarr completion`: a script for a shell, made from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ndzarr.cli.output import print_json
from ndzarr.cli.parser import make_parser


def completion(given: argparse.Namespace) -> int:
    """The script, to be sourced."""
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[given.shell]()
    if given.json:
        print_json({"shell": given.shell, "script": script})
    else:
        print(script, end="")
    return 0


def commands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """The parser of each command, and what it is for, by name."""
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    return {name: (command, helps[name]) for name, command in action.choices.items()}


def _options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in command._actions if action.option_strings)


def _flags(command: argparse.ArgumentParser) -> list[str]:
    return [flag for action in _options(command) for flag in action.option_strings]


def _choices(command: argparse.ArgumentParser) -> dict[str, list[str]]:
    """What may follow a flag, and under "" what a command's argument may be."""
    found: dict[str, list[str]] = {}
    for action in command._actions:
        if action.choices is not None:
            for flag in action.option_strings or [""]:
                found[flag] = [str(choice) for choice in action.choices]
    return found


def _bash() -> str:
    """Words of the command, after `=` too; where none fits, files."""
    parser = make_parser()
    cases, values = [], []
    for name, (command, _) in commands(parser).items():
        choices = _choices(command)
        cases.append(f'        {name}) words="{" ".join([*choices.pop("", []), *_flags(command)])}" ;;')
        values += [f'        {name}:{flag}) words="{" ".join(words)}" ;;' for flag, words in choices.items()]
    return f"""\
# bash completion for ndzarr: source <(ndzarr completion bash)
_ndzarr() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" n
    for ((n = 1; n < COMP_CWORD; n++)); do
        [[ ${{COMP_WORDS[n]}} != -* ]] && command="${{COMP_WORDS[n]}}" && break
    done
    # bash takes --flag=value apart.
    if [[ $word == = ]]; then word=""
    elif [[ $before == = ]]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"; fi
    COMPREPLY=()
    if [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "{" ".join([*commands(parser), *_flags(parser)])}" -- "$word"))
        return
    fi
    case "$command:$before" in
{chr(10).join(values)}
    esac
    [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$word")) && return
    case "$command" in
{chr(10).join(cases)}
    esac
    [[ $word == -* || $command == completion ]] && COMPREPLY=($(compgen -W "$words" -- "$word")) && return
    local IFS=$'\n'  # for names with spaces
    COMPREPLY=($(compgen -f -- "$word"))
}}
complete -o filenames -o bashdefault -F _ndzarr ndzarr
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _zsh() -> str:
    parser = make_parser()
    lines = []
    for name, (command, _) in commands(parser).items():
        specs = []
        for action in _options(command):
            said = (action.help or "").replace("[", "(").replace("]", ")").replace(":", " -")
            takes = "" if action.nargs == 0 else f":{(action.metavar or action.dest)}:" + _zsh_values(action)
            often = "*" if isinstance(action.default, list) else ""
            for flag in action.option_strings:
                either = "=" if takes and flag.startswith("--") else ""  # the value after a space, or after "="
                specs.append(_quoted(f"{often}{flag}{either}[{said}]{takes}"))
        for action in command._actions:
            if not action.option_strings:
                optional = "::" if action.nargs == "?" else ":"
                specs.append(_quoted(f"{optional}{action.metavar or action.dest}:{_zsh_values(action)}"))
        lines.append(f"        {name}) _arguments {' '.join(specs)} ;;")
    known = " ".join(_quoted(f"{name}:{help.replace(':', ' -')}") for name, (_, help) in commands(parser).items())
    return f"""\
#compdef ndzarr
# zsh completion for ndzarr: source <(ndzarr completion zsh)
_ndzarr() {{
    local -a known=({known})
    if (( CURRENT == 2 )); then
        if [[ $words[2] == -* ]]; then compadd -- {" ".join(_flags(parser))}; else _describe command known; fi
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{chr(10).join(lines)}
    esac
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
compdef _ndzarr ndzarr
"""


def _zsh_values(action: argparse.Action) -> str:
    return "_files" if action.choices is None else f"({' '.join(str(choice) for choice in action.choices)})"


def _fish() -> str:
    parser = make_parser()
    found = commands(parser)
    lines = ["# fish completion for ndzarr: ndzarr completion fish | source"]
    for action in _options(parser):
        lines.append(f"complete -c ndzarr -n __fish_use_subcommand {_fish_flags(action)} -d {_fish_quoted(action.help or '')}")
    for name, (command, help) in found.items():
        lines.append(f"complete -c ndzarr -n __fish_use_subcommand -f -a {name} -d {_fish_quoted(help)}")
        inside = f"-n '__fish_seen_subcommand_from {name}'"
        if choices := _choices(command).get(""):
            lines.append(f"complete -c ndzarr {inside} -f -a {_fish_quoted(' '.join(choices))}")
        for action in _options(command):
            takes = "" if action.nargs == 0 else " -r"
            if action.choices is not None:
                takes += f" -f -a {_fish_quoted(' '.join(str(choice) for choice in action.choices))}"
            lines.append(f"complete -c ndzarr {inside} {_fish_flags(action)}{takes} -d {_fish_quoted(action.help or '')}")
    return "\n".join(lines) + "\n"


def _fish_flags(action: argparse.Action) -> str:
    return " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in action.option_strings)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
