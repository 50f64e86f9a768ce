"""The answer of `check` as SARIF 2.1.0, which GitHub's code scanning reads. Pure.

A finding without a place stands at the application's module: code scanning shows none without a file.
"""

from __future__ import annotations

import hashlib
from typing import Any

from harness import __version__
from harness.applications.check.answer import Checked
from harness.applications.check.finding import PAGE, RULES, Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
VERSION = "2.1.0"


def log(checked: Checked, module_file: str) -> dict[str, Any]:
    """`module_file`: of the application's module, relative to its folder."""
    names = sorted({one.rule for one in checked.findings})
    driver = {"name": "harness check", "semanticVersion": __version__, "rules": [_rule(name) for name in names]}
    results = [_result(one, names.index(one.rule), module_file) for one in checked.findings]
    return {"$schema": SCHEMA, "version": VERSION, "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(name: str) -> dict[str, Any]:
    rule = RULES[name]
    return {
        "id": name, "name": "".join(part.capitalize() for part in name.split("-")), "shortDescription": {"text": rule.what},
        "help": {"text": f"See {PAGE}#{name}", "markdown": f"See `{PAGE}#{name}`."},
        "properties": {"tags": ["celery", *(["fork"] if rule.fork else [])]},
    }  # fmt: skip


def _result(one: Finding, index: int, module_file: str) -> dict[str, Any]:
    said = " ".join([f"{one.what}.", *(f"Seen: {line}." for line in one.evidence), f"Do: {one.todo}."])
    place = {
        "artifactLocation": {"uri": one.file or module_file, "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": one.line or 1},
    }
    mark = hashlib.sha256(f"{one.rule}\0{one.file}\0{one.what}".encode()).hexdigest()
    return {
        "ruleId": one.rule, "ruleIndex": index, "level": one.level.value, "message": {"text": said},
        "locations": [{"physicalLocation": place}], "partialFingerprints": {"harness/v1": mark},
    }  # fmt: skip
