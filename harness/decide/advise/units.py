"""A configuration as a file that starts it: a unit of systemd, a service of compose. Each quotes in its own way. Pure."""

from __future__ import annotations

import json
import re
from pathlib import PurePath

from harness.decide.advise import env_files
from harness.decide.advise.settings import Setup

BARE = re.compile(r"[\w@%+=:,./$-]+", re.ASCII)  # words that systemd takes without quotation marks
CONTROL = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def systemd(setup: Setup) -> str:
    """A unit: put it in /etc/systemd/system, and change what is in capitals. A file's variables win over `Environment=` there,
    so beside a file `env` sets the others, which won when they were measured."""
    program, *arguments = setup.command
    words = [_word(program if program != "celery" else "/PATH/TO/VENV/bin/celery"), *map(_argument, arguments)]
    lines = [*setup.yours, *setup.otherwise(env_files.SYSTEMD)]
    if setup.env_file:
        file = setup.env_file if setup.folder else f"/PATH/TO/{PurePath(setup.env_file).name}"
        lines += [f"EnvironmentFile={_specified(file)}"]
        if setup.variables:
            given = [_argument(f"{name}={value}") for name, value in setup.variables.items()]
            words = ["/usr/bin/env", *given, _argument(program) if program != "celery" else words[0], *words[1:]]
    else:
        lines += [f"Environment={_quoted(f'{name}={value}')}" for name, value in setup.variables.items()]
    variables = "".join(f"{line}\n" for line in lines)
    return (
        f"[Unit]\nDescription={_specified(setup.title)}\nAfter=network.target\n\n[Service]\nUser=USER\n"
        f"WorkingDirectory={_specified(setup.folder or '/PATH/TO/PROJECT')}\n{variables}ExecStart={' '.join(words)}\n"
        "KillMode=mixed\nTimeoutStopSec=60\nRestart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def _specified(text: str) -> str:
    """A % begins a specifier, wherever it stands in a unit."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    r"""In quotation marks, as systemd reads them (systemd.syntax, "Quoting"): it knows C's escapes.

    >>> print(_quoted('A=say "50 %"'))
    "A=say \"50 %%\""
    """
    escaped = "".join(CONTROL.get(each, each) for each in text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{_specified(escaped)}"'


def _word(text: str) -> str:
    return _specified(text) if BARE.fullmatch(text) else _quoted(text)


def _argument(text: str) -> str:
    """A word of ExecStart= behind the program: a $ begins a variable there, also in quotation marks.

    >>> _argument("--queues=a,b"), _argument("$HOME/my proj")
    ('--queues=a,b', '"$$HOME/my proj"')
    """
    return _word(text).replace("$", "$$")


def compose(setup: Setup) -> str:
    """A service for a compose file, where `environment` wins over `env_file`."""
    variables = "".join(f"      {name}: {_text(value)}\n" for name, value in setup.variables.items())
    environment = "".join(f"    {each}\n" for each in (*setup.yours, *setup.otherwise(env_files.COMPOSE)))
    environment += f"    environment:\n{variables}" if variables else ""
    environment += f"    env_file: {_text(setup.env_file)}\n" if setup.env_file else ""
    program = "python" if setup.command[1] == "-m" else "celery"  # of the image
    command = ", ".join(_text(word) for word in (program, *setup.command[1:]))
    return (
        f"services:\n  worker:\n    image: IMAGE\n    command: [{command}]\n{environment}"
        "    init: true\n    stop_grace_period: 60s\n    restart: on-failure\n"
    )


def _text(value: str) -> str:
    """In YAML, which reads JSON's texts; a $ begins a variable of compose."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
