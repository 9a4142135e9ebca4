"""What the members of an enumeration mean, as the strings that stand below them in the source say."""

from __future__ import annotations

import ast
import inspect
from enum import Enum
from textwrap import dedent


def meanings(enumeration: type[Enum]) -> dict[str, str]:
    """Return the name of each member -> its meaning."""
    (definition,) = ast.parse(dedent(inspect.getsource(enumeration))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for assignment, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(assignment, ast.Assign) and isinstance(following, ast.Expr):
            (target,) = assignment.targets
            assert isinstance(target, ast.Name)
            found[target.id] = " ".join(str(ast.literal_eval(following.value)).split())
    return found
