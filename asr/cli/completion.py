"""`asr completion SHELL`, and the completions that its script requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asr.cli.arguments import CFG_KINDS, FLAGS, INFO_KINDS, split_arguments
from asr.errors import AsrError, ConfigError

if TYPE_CHECKING:
    from asr.cli.composition import Composer

VALUES_OF_FLAGS = {"--cfg": CFG_KINDS, "-c": CFG_KINDS, "--info": INFO_KINDS, "-i": INFO_KINDS}

HELP = """\
Usage: asr completion bash|zsh|fish

Prints a completion script for commands, flags, settings and their values.

Examples:
  eval "$(asr completion bash)"                                   in ~/.bashrc
  eval "$(asr completion zsh)"                                    in ~/.zshrc
  asr completion fish > ~/.config/fish/completions/asr.fish
"""

_BASH = """\
_asr_complete() {
    local IFS=$'\\n' word line
    # bash splits words at "=": take the line apart at blanks instead
    line="${COMP_LINE:0:COMP_POINT}"
    word="${line##* }"
    local words=()
    IFS=' ' read -r -a words <<< "${line% *}"
    COMPREPLY=($(asr complete "${words[@]:1}" "$word" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        local value="${word#*=}"
        COMPREPLY=($(compgen -f -- "$value"))
        compopt -o filenames
        return
    fi
    if [[ $word == *=* ]]; then
        local prefix="${word%=*}="
        COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    fi
    [[ ${COMPREPLY[0]} == *= || ${COMPREPLY[0]} == *. ]] && compopt -o nospace
    return 0
}
complete -F _asr_complete asr
"""

_ZSH = """\
#compdef asr
_asr() {
    local -a found
    found=("${(@f)$(asr complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -S '' -- "${found[@]}"
    else
        _files
    fi
}
compdef _asr asr
"""

_FISH = """\
complete -c asr -a '(asr complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def run(arguments: Sequence[str]) -> int:
    """Print a shell's script; returns the exit code."""
    if {"--help", "-h"} & set(arguments):
        print(HELP, end="")
        return 0
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        raise ConfigError(f"name a shell: asr completion {'|'.join(SCRIPTS)}")
    print(SCRIPTS[arguments[0]], end="")
    return 0


def complete(words: Sequence[str]) -> int:
    """Print the completions of the last word, one per line; none where a file name is expected."""
    for suggestion in suggestions(words):
        print(suggestion)
    return 0


def suggestions(words: Sequence[str]) -> list[str]:
    """The completions of the last of the words that follow `asr`."""
    from asr.cli.composition import Composer
    from asr.cli.overview import COMMANDS
    from asr.cli.roots import ROOTS

    *before, word = words or [""]
    if not before:
        return [name for name in COMMANDS if name.startswith(word)]
    if before[0] == "completion":
        return [shell for shell in SCRIPTS if shell.startswith(word)]
    if before == ["prepare"] and not word.startswith("-"):
        from asr.corpus.prepare import CORPORA

        return [corpus for corpus in CORPORA if corpus.startswith(word)]
    if before[-1] in VALUES_OF_FLAGS:
        return [value for value in VALUES_OF_FLAGS[before[-1]] if value.startswith(word)]
    if word.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(word)]
    if before[0] not in ROOTS:
        return []
    asked = before[-1] in ("--config-dir", "-cd", "--config-name", "-cn", "--package", "-p")
    try:
        split = split_arguments(before[1:-1] if asked else before[1:])
        with Composer.from_arguments(before[0], split) as composer:
            if before[-1] in ("--config-name", "-cn"):
                return [name for name in composer.config_names if name.startswith(word)]
            if asked:  # a folder, or a section
                return []
            return _of_settings(composer, split.overrides, word) if word else []
    except ConfigError:  # what is typed so far cannot be used: complete the word as if it were the first
        if asked or not word:
            return []
        with Composer(before[0]) as composer:
            return _of_settings(composer, [], word)


def _of_settings(composer: Composer, overrides: Sequence[str], word: str) -> list[str]:
    """The completions of a setting, a group or their values."""
    groups = composer.groups
    chosen = [one for one in overrides if one.lstrip("+").partition("=")[0] in groups]
    try:
        keys = composer.keys(chosen)
    except AsrError:
        keys = composer.keys()
    head, equals, value = word.partition("=")
    name = head.lstrip("+~")
    prefix = head[: len(head) - len(name)]
    if equals:
        # In a list of options, or in one of values to try, the last is completed.
        cut = max(value.rfind(","), value.rfind("[")) + 1 if name in groups else 0
        options = groups.get(name) or (keys[name].choices if name in keys else [])
        return [f"{head}={value[:cut]}{option}" for option in options if option.startswith(value[cut:])]
    if prefix == "~":
        return [f"~{group}" for group in groups if not composer.is_added(group) and group.startswith(name)]
    found = [group for group in groups if composer.is_added(group) == (prefix == "+")]
    found += list(keys) if prefix in ("", "++") else []
    added = [] if prefix or not name else [group for group in groups if composer.is_added(group)]
    return [f"{prefix}{one}=" for one in found if one.startswith(name)] + [
        f"+{group}=" for group in added if group.startswith(name)
    ]
