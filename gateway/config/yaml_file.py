"""`gateway.yaml` as text: YAML 1.2, with `${VAR}` and `${file:/path}` in any value.

References are cut out before the text is parsed and put in afterwards, so that a secret's characters can never
change the structure of the file, and so that an unquoted `${VAR}` may stand inside `{...}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gateway.config.settings import Mistakes

_REFERENCE = re.compile(r"\$\{([^}\n]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MARK = re.compile("\ue000([0-9]{1,6})\ue001")  # private-use characters: they stand for nothing in a real file


class References:
    """The `${…}` of one file: cut from its text, then resolved in its values.

    Attributes:
        resolved: every value that was put in; all of them count as secrets.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._cut: list[str] = []
        self.resolved: set[str] = set()

    def cut(self, text: str) -> str:
        def mark(match: re.Match[str]) -> str:
            self._cut.append(match[1])
            return f"\ue000{len(self._cut) - 1}\ue001"

        return _REFERENCE.sub(mark, text)

    def put(self, node: Any, path: str, mistakes: Mistakes) -> Any:
        """Return `node` with every mark replaced by what it refers to."""
        if isinstance(node, dict):
            if any(isinstance(key, str) and _MARK.search(key) for key in node):
                mistakes.add(f"{path or 'top level'}: ${{…}} may stand in a value, not in a name")
            return {
                key: self.put(value, f"{path}.{key}" if path else str(key), mistakes) for key, value in node.items()
            }
        if isinstance(node, list):
            return [self.put(value, f"{path}[{index}]", mistakes) for index, value in enumerate(node)]
        if isinstance(node, str):
            return _MARK.sub(lambda match: self._resolve(match, path, mistakes), node)
        return node

    def _resolve(self, mark: re.Match[str], path: str, mistakes: Mistakes) -> str:
        if int(mark[1]) >= len(self._cut):
            return mark[0]  # not one of ours: the file itself has these characters
        reference, value = self._cut[int(mark[1])], ""
        if reference.startswith("file:"):
            try:
                value = Path(reference[5:]).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError, ValueError) as error:
                mistakes.add(f"{path}: the file of ${{{reference}}} cannot be read: {_reason(error)}")
        elif not _VARIABLE.fullmatch(reference):
            mistakes.add(f"{path}: ${{{reference}}} is neither ${{VARIABLE}} nor ${{file:/path}}")
        elif reference not in self._variables:
            mistakes.add(f"{path}: the variable {reference} is not set")
        else:
            value = self._variables[reference]
            if not value.isprintable():
                mistakes.add(f"{path}: the variable {reference} may only hold printable characters")
                return ""
        if value:
            self.resolved.add(value)
        return value


def read_yaml(path: Path, variables: Mapping[str, str], mistakes: Mistakes) -> tuple[dict[str, Any], set[str]]:
    """Read the file at `path`.

    Args:
        path: the file.
        variables: what `${VAR}` may refer to.
        mistakes: gets a line, beginning with the YAML path, for whatever is wrong.

    Returns:
        The file's content, empty if it could not be read, and the values that references brought in.
    """
    references = References(variables)
    try:
        text = path.read_text(encoding="utf-8")
        content = YAML(typ="safe", pure=True).load(references.cut(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = str(getattr(error, "problem", None) or "cannot be parsed")
        problem = problem.partition(" with value ")[0]  # a duplicate key's value may be a secret
        mistakes.add(f"{where}not valid YAML: {problem}")
        return {}, set()
    except (OSError, UnicodeDecodeError) as error:
        mistakes.add(f"cannot be read: {_reason(error)}")
        return {}, set()
    except RecursionError:
        mistakes.add("not valid YAML: nested too deep")
        return {}, set()
    except (ValueError, KeyError):  # ruamel's, for values such as !!int abc
        mistakes.add("not valid YAML: a value is not of the type that it is written as")
        return {}, set()
    if not isinstance(content, dict | None):
        mistakes.add("top level: must be a mapping with names such as 'providers' and 'models'")
        return {}, set()
    given = {name: value for name, value in (content or {}).items() if value is not None}
    try:
        return references.put(given, "", mistakes), references.resolved
    except RecursionError:
        mistakes.add("not valid YAML: an alias stands within its own anchor")
        return {}, set()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
