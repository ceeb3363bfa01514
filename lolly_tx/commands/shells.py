"""Completion for bash, zsh and fish, as scripts made of what the commands declare.

Imports: commands. Used by: commands.completion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from lolly_tx.commands.declared import Declared, Option, Takes

_HEAD = "# Completion of lolly; made by `lolly completion {}`.\n"

_BASH = """\
_lolly() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command='' options='' kind='' number=0 at word
    local -A values=()
    local -a words=()
    # --option=value is three words here.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ -z $command ]]; then
            [[ $word == -* ]] || { command=$word; _lolly_declared; }
        elif [[ $word == -* ]]; then
            [[ ${values[$word]+there} && ${COMP_WORDS[at+1]} != = ]] && ((at++))
        elif [[ $word == = ]]; then
            ((at++))
        else
            ((number++))
        fi
    done
    COMPREPLY=()
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
        return
    fi
    if [[ $prev == -* && ${values[$prev]+there} ]]; then
        kind=${values[$prev]}
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    else
        kind=${words[number]}
    fi
    case $kind in
        files:*)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(
                compgen -f -X "!${kind#files:}" -- "$cur"
                [[ $kind == "files:*" ]] || compgen -d -- "$cur"
            )
            ;;
        choices:*)
            mapfile -t COMPREPLY < <(compgen -W "${kind#choices:}" -- "$cur")
            ;;
    esac
}
"""

_ZSH = """\
_lolly() {
    local context state state_descr line ret=1
    typeset -A opt_args
    _arguments -C \\
        '(- *)--help[Display this help and exit.]' \\
        '(- *)--version[Print the version and exit.]' \\
        '1:command:->command' \\
        '*::word:->words' && ret=0
    case $state in
        command)
            local -a known=(
%(commands)s
            )
            _describe -t commands command known && ret=0
            ;;
        words)
            case $words[1] in
%(cases)s
            esac
            ;;
    esac
    return ret
}
if [[ $funcstack[1] == _lolly ]]; then
    _lolly "$@"
else
    compdef _lolly lolly
fi
"""

_FISH = """\
function __lolly_command
    for word in (commandline -opc)[2..]
        if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end
function __lolly_is
    set -l found (__lolly_command)
    test "$found" = "$argv[1]"
end
complete -c lolly -f
complete -c lolly -n '__lolly_is ""' -l help -d 'Display this help and exit.'
complete -c lolly -n '__lolly_is ""' -l version -d 'Print the version and exit.'
"""


def bash(commands: Sequence[Declared]) -> str:
    """A file for `source`, or for the folder bash-completion reads, as `lolly`."""
    names = " ".join(one.name for one in commands)
    lines = ["_lolly_declared() {", "    case $command in"]
    for command in commands:
        options = " ".join(f"--{one.long}" for one in command.options)
        values = " ".join(
            f"[{name}]={_quoted(_bash_kind(one.takes))}"
            for one in command.options
            if one.takes
            for name in one.names
        )
        words = " ".join(_quoted(_bash_kind(one)) for one in command.words)
        lines += [
            f"        {command.name})",
            f"            options={_quoted(options)}",
            f"            values=({values})",
            f"            words=({words})",
            "            ;;",
        ]
    lines += ["    esac", "}"]
    function = _BASH.replace(
        "local command=", f"local commands={_quoted(names)}\n    local command="
    )
    end = "complete -F _lolly lolly\n"
    return _HEAD.format("bash") + "\n".join(lines) + "\n" + function + end


def _bash_kind(takes: Takes) -> str:
    """How the function above calls it."""
    if takes.files:
        return f"files:{takes.files}"
    return f"choices:{' '.join(takes.choices)}" if takes.choices else ""


def zsh(commands: Sequence[Declared]) -> str:
    """A file for `source`, or for a folder of `fpath`, as `_lolly`."""
    described = [
        f"                {_quoted(f'{one.name}:{one.summary}')}" for one in commands
    ]
    cases = []
    for command in commands:
        specs = [_zsh_option(one) for one in command.options]
        for number, word in enumerate(command.words, 1):
            specs.append(_quoted(f"{number}:{word.word}:{_zsh_action(word)}"))
        joined = " \\\n                        ".join(specs)
        cases += [
            f"                {command.name})",
            f"                    _arguments \\\n                        {joined} && ret=0",
            "                    ;;",
        ]
    body = _ZSH % {"commands": "\n".join(described), "cases": "\n".join(cases)}
    return "#compdef lolly\n" + _HEAD.format("zsh") + body


def _zsh_option(option: Option) -> str:
    doc = option.doc.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    value = f":{option.takes.word}:{_zsh_action(option.takes)}" if option.takes else ""
    said = _quoted(f"[{doc}]{value}")
    if not option.short:
        before = "'*'" if option.repeated else ""
        return f"{before}--{option.long}{'=' if option.takes else ''}{said}"
    exclusive = "'*'" if option.repeated else f"'({' '.join(option.names)})'"
    signs = ("+", "=") if option.takes else ("", "")
    names = ",".join(
        f"{name}{sign}" for name, sign in zip(option.names, signs, strict=True)
    )
    return f"{exclusive}{{{names}}}{said}"


def _zsh_action(takes: Takes) -> str:
    if takes.files == "*":
        return "_files"
    if takes.files:
        return f'_files -g "{takes.files}(-.)"'
    return f"({' '.join(takes.choices)})" if takes.choices else " "


def fish(commands: Sequence[Declared]) -> str:
    """A file for `source`, or for fish's folder of completions, as `lolly.fish`."""
    return _HEAD.format("fish") + _FISH + "".join(f"{one}\n" for one in _fish(commands))


def _fish(commands: Iterable[Declared]) -> Iterator[str]:
    for one in commands:
        summary = _fish_quoted(one.summary)
        yield f"complete -c lolly -n '__lolly_is \"\"' -a {one.name} -d {summary}"
    for command in commands:
        head = f"complete -c lolly -n '__lolly_is {command.name}'"
        for option in command.options:
            short = f" -s {option.short}" if option.short else ""
            value = f" -x{_fish_action(option.takes)}" if option.takes else ""
            yield f"{head} -l {option.long}{short}{value} -d {_fish_quoted(option.doc)}"
        for action in dict.fromkeys(map(_fish_action, command.words)):
            if action:
                yield f"{head}{action}"


def _fish_action(takes: Takes) -> str:
    if takes.files:
        suffix = takes.files.removeprefix("*") or '""'
        return f" -k -a '(__fish_complete_suffix {suffix})'"
    return f" -a {_fish_quoted(' '.join(takes.choices))}" if takes.choices else ""


def _quoted(text: str) -> str:
    """`text` as one word of bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Mapping[str, Callable[[Sequence[Declared]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}
