"""Texts of others (exceptions, log lines, stacks, model names), made fit to be kept and shown.

`visible`: control characters become what they are; an escape sequence would act on a terminal, and marks of direction would
hide or reorder what stands beside them on a page. `portable`: this machine's folders become what they are, and secrets are
taken out, so that evidence can be read, compared and published elsewhere. `escaped`: no markup in a table of Markdown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

from harness.places import CHECKOUT, home

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # all but tab and newline
# From the beginning of a word, or a word of a million characters is tried from each of them.
_INTERPRETER = re.compile(r"(?<![^\s\"'(<])[^\s\"'(<]*\.pyenv/versions/[^/\s]+")


#: user and password of a URL, and what its options call a password, token or key
SECRETS = re.compile(  # bounded, and from the beginning of a word: see _INTERPRETER
    r"(?P<scheme>(?<!\w)\w{1,30}://)[^/\s@]{0,500}@|(?P<key>[?&;]\w{0,40}(?:pass|token|secret|key)\w{0,40}=)[^&;\s]+",
    re.IGNORECASE,
)
#: Secrets that show by their form: keys of AWS, GitHub, Slack, Stripe and Google as their makers document them, JSON Web Tokens
#: (RFC 7519), what a header authorizes with (RFC 9110), and private keys (RFC 7468).
FORMS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{36,255}|github_pat_\w{22,255}|xox[abeprs]-[\w-]{10,250}"
    r"|[rs]k_(?:live|test)_\w{10,250}|AIza[\w-]{35})(?![\w-])"
    r"|\beyJ[\w-]{5,2000}\.eyJ[\w-]{5,2000}\.[\w-]{5,2000}"
    r"|(?<=\bBearer )(?=[\w.~+/-]{0,200}\d)[\w.~+/=-]{12,2000}|(?<=\bBasic )(?=[\w+/]{0,200}[\d=])[\w+/=]{12,2000}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{1,9000}?-----END [A-Z ]{0,30}PRIVATE KEY-----",
    re.DOTALL,
)
SECRET_NAMES = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|DSN", re.IGNORECASE)  # of variables
LEAST_LINE = 12  # of a line of a secret that has several
LEAST_SECRET = 6  # characters: a shorter value stands in many innocent words
_hidden: set[str] = set()


def visible(text: str) -> str:
    r"""The text with control characters written out.

    >>> visible("\x1b[31mred") == r"\x1b[31mred"
    True
    """
    return text if text.isprintable() else CONTROLS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


@cache
def _folders() -> tuple[tuple[str, str], ...]:
    """(folder, name), the deeper ones first."""
    named = ((home(), "ENVIRONMENTS"), (CHECKOUT, "CHECKOUT"), (Path.home(), "~"))
    found = {str(place): name for folder, name in named for place in (folder, folder.resolve())}
    return tuple(sorted(found.items(), key=lambda item: -len(item[0])))


def hide(variables: Mapping[str, str]) -> None:
    """From now on, take the values of those variables out of every text whose names say that they are secrets."""
    for name, value in variables.items():
        if SECRET_NAMES.search(name) and len(value) >= LEAST_SECRET:
            _hidden.update(spellings(value))


def spellings(secret: str) -> set[str]:
    r"""As texts have it: as it is, each long line of it, and as `repr`, JSON and URLs write it, also one inside the other.

    >>> sorted(spellings("it's\\"), key=len)[:3]
    ["it's\\", "it's\\\\", "it\\'s\\\\"]
    """
    lines = {line.strip() for line in secret.splitlines()} if "\n" in secret else set()
    found = {secret, *(line for line in lines if len(line) >= LEAST_LINE)}
    for _ in range(2):
        found |= {written for value in found for written in _written(value)}
    return found | {quoted(value) for value in found for quoted in (quote, quote_all, quote_plus)}


def quote_all(text: str) -> str:
    """As a part of a URL."""
    return quote(text, safe="")


def _written(value: str) -> Iterator[str]:
    """Without the quotation marks around it; which of them are escaped in it hangs on what stands beside it."""
    for text in (repr(f"{value}'\"")[1:-4], repr(f'{value}"')[1:-2], repr(f"{value}'")[1:-2], json.dumps(value)[1:-1]):
        yield text
        yield text.encode("ascii", "backslashreplace").decode()
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value.encode())[2:-1]


def without_secrets(text: str) -> str:
    """The text, without the user and password of a URL, what its options call a password, token or key, what is a secret by
    its form, and what `hide` named.

    >>> without_secrets("redis://me:secret@b:6379/0 and amqps://b?ssl_password=x&y=1")
    'redis://***@b:6379/0 and amqps://b?ssl_password=***&y=1'
    >>> without_secrets("Authorization: Bearer abc123def456ghi")
    'Authorization: Bearer ***'
    """
    for value in sorted(_hidden, key=len, reverse=True):
        text = text.replace(value, "***")
    return FORMS.sub("***", SECRETS.sub(_masked, text))


def _masked(found: re.Match[str]) -> str:
    if found["key"]:
        return f"{found['key']}***"
    own = found[0].removeprefix(found["scheme"])
    return f"{found['scheme']}***@" if own.strip(":*@") else found[0]  # Celery's own banner has masked it


def portable(text: str) -> str:
    """The text without secrets, and with this machine's folders named: ENVIRONMENTS, CHECKOUT, PYTHON (an interpreter's own),
    ~."""
    text = _INTERPRETER.sub("PYTHON", text)
    for folder, name in _folders():
        text = re.sub(rf"{re.escape(folder)}(?=[/\s:)\"']|$)", name, text)
    return without_secrets(text)


def escaped(said: object) -> str:
    """Words of others in a table of Markdown: no markup, no new column, no second line."""
    plain = " ".join(visible(str(said)).split())
    for sign in "\\`*_|<>[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def milliseconds(seconds: float) -> str:
    """
    >>> milliseconds(0.0072), milliseconds(1.12), milliseconds(50.04), milliseconds(0.00001234)
    ('7.2 ms', '1120 ms', '50 s', '0.0123 ms')
    """
    if seconds >= 10.0:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 1.0 else f"{seconds * 1e3:.3g} ms"


def few(names: Sequence[str], most: int = 3) -> str:
    """
    >>> few(["a", "b"]), few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def messages(count: int, one: str, several: str) -> str:
    """
    >>> messages(1, "waits", "wait"), messages(0, "waits", "wait"), messages(2, "is", "are")
    ('1 message waits', 'no message waits', '2 messages are')
    """
    return f"{count} messages {several}" if count > 1 else f"{'1' if count else 'no'} message {one}"


def counted(names: Iterable[str]) -> list[str]:
    """['2 x tf_Compute', '1 x python']."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return [f"{count} x {name}" for name, count in found.items()]


#: in the text of an error, what may be another one each time: an address, or the id of a thread, a process or a job
OWN_ID = re.compile(r"0x[0-9a-fA-F]+|\b\d{5,}\b|(?<=\bJob: )\d+")


def by_kind(errors: Mapping[str, int]) -> dict[str, int]:
    """How often there was each; those that differ in an id alone are one.

    >>> by_kind({"made in thread 140592115685056": 2, "made in thread 140592106243776": 3, "no 140592106243776": 1})
    {'made in thread …': 5, 'no 140592106243776': 1}
    """
    kinds: dict[str, list[str]] = {}
    for text in errors:
        kinds.setdefault(OWN_ID.sub("…", text), []).append(text)
    return {those[0] if len(those) == 1 else kind: sum(errors[one] for one in those) for kind, those in kinds.items()}
