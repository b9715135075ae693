"""`tta validate`: what is wrong with a workflow that can be told without running it.

Composing already refuses what can never work. This looks further: through choices and wrappers,
where composing does not, and at annotations that do not resolve, which composing leaves alone.
"""

from __future__ import annotations

import enum
import inspect
import typing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.cli.problems import UsageProblem, one_line
from tta_dev_primitives.cli.target import load_all
from tta_dev_primitives.core.annotations import cannot_fit, shown
from tta_dev_primitives.core.base import WorkflowPrimitive
from tta_dev_primitives.core.conditional import SwitchPrimitive
from tta_dev_primitives.core.routing import RouterPrimitive
from tta_dev_primitives.core.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

__all__ = ("check", "check_target")

_Node = WorkflowPrimitive[Any, Any]
_End = tuple[str, Any]  # the name of a step and the type at one of its ends


def check_target(target: str) -> tuple[list[str], int]:
    """Return the problems of all workflows that a target names, and the number of their nodes."""
    try:
        workflows = load_all(target)
    except UsageProblem as problem:
        return [f"{target}: {problem}"], 0
    problems: list[str] = []
    count = 0
    for name, workflow in workflows.items():
        problems += [f"{name}: {path}: {problem}" for path, problem in check(workflow)]
        count += sum(1 for _ in workflow.walk())
    return problems, count


def check(workflow: _Node) -> list[tuple[str, str]]:
    """Return the problems of a workflow, each with the path where it is.

    Example:
        >>> from tta_dev_primitives import Switch, step
        >>> from typing import Literal
        >>> def size(text: str) -> Literal["short", "long"]:
        ...     return "short" if len(text) < 5 else "long"
        >>> check(Switch(size, {"short": str.upper}))
        [('switch', "its selector can return 'long', which is no case, and there is no default")]
    """
    found: list[tuple[str, str]] = []
    for path, node in workflow.walk():
        found += [(path, problem) for problem in _problems_of(node)]
    return found


def _problems_of(node: _Node) -> Iterator[str]:
    if not node.nodes:
        if node.kind not in {"leaf", "stream"}:
            yield "it has no steps inside"
        yield from _unwritten(node)
        yield from _unresolved(node)
    if node.kind == "sequence":
        for left, right in zip(node.nodes, node.nodes[1:], strict=False):
            yield from _misfits(left, right)
    if isinstance(node, SwitchPrimitive):
        cases: dict[Hashable, int] = getattr(node, "_cases", {})  # the keys as they were given
        yield from _strays(node, cases, "case", has_default=len(node.nodes) > len(cases))
    if isinstance(node, RouterPrimitive):
        routes = dict.fromkeys(cast("Any", node).edge_labels)
        yield from _strays(
            node, routes, "route", has_default=cast("Any", node).default_route is not None
        )


# --- annotations --------------------------------------------------------------------------------


def _unwritten(node: _Node) -> Iterator[str]:
    """Tell of a class that cannot run."""
    cls: Any = type(node)
    base: Any = WorkflowPrimitive
    written: Any = getattr(cls, "_execute_impl", None)
    if written is getattr(base, "_execute_impl", None) and cls.execute is base.execute:
        yield f"{cls.__qualname__} defines no _execute_impl, so it cannot run"
    elif not inspect.iscoroutinefunction(written):
        yield f"_execute_impl of {cls.__qualname__} must be written with async def"


def _unresolved(node: _Node) -> Iterator[str]:
    """Tell of annotations that name what does not exist."""
    function: Any = getattr(node, "function", None)
    if function is None:
        function = getattr(type(node), "_execute_impl", None)
        if function.__module__.startswith("tta_dev_primitives."):
            return
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    if not getattr(function, "__annotations__", None):
        return
    try:
        typing.get_type_hints(function)
    except Exception as error:  # noqa: BLE001 - a hint can run any code
        yield (
            f"the annotations of {getattr(function, '__qualname__', node.name)} do not resolve: "
            f"{one_line(error)}"
        )


def _misfits(left: _Node, right: _Node) -> Iterator[str]:
    """Tell of outputs that can reach an input which they cannot fit."""
    wanted = _ends(right, 0)
    for giver, given in _ends(left, 1):
        for taker, taken in wanted:
            if cannot_fit(given, taken):
                yield f"{giver!r} gives {shown(given)}, but {taker!r} takes {shown(taken)}"


def _ends(node: _Node, side: int) -> list[_End]:
    """Return who takes a node's input (side 0) or gives its output (side 1), with the types."""
    found: dict[tuple[str, int], _End] = {}
    stack = [node]
    while stack:
        top = stack.pop()
        inside = top.nodes
        if inside and top.kind == "sequence":
            stack.append(inside[-1 if side else 0])
        elif inside and (
            top.kind in {"choice", "loop"}
            or (top.kind == "parallel" and side == 0)
            or isinstance(top, Wrapper)
        ):
            stack.extend(reversed(inside))
        else:
            hint = top.signature[side]
            found.setdefault((top.name, id(hint)), (top.name, hint))
    return list(found.values())


# --- routes -------------------------------------------------------------------------------------


def _strays(node: Any, keys: dict[Hashable, Any], noun: str, *, has_default: bool) -> Iterator[str]:
    """Compare what a selector says that it can return with the keys that there are."""
    selector = getattr(node, "_selector", None)
    returned = None if selector is None else _values_of(selector.primitive.signature[1])
    if returned is None:
        return
    if not has_default:
        for value in returned:
            if value not in keys:
                yield (
                    f"its selector can return {value!r}, which is no {noun}, "
                    f"and there is no default"
                )
    default = getattr(node, "default_route", None)
    for key in keys:
        if key not in returned and key != default:
            yield f"the {noun} {key!r} is never reached: its selector never returns it"


def _values_of(hint: Any) -> list[Hashable] | None:
    """Return all values of a Literal, a boolean or an enumeration; None for any other type."""
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    if hint is bool:
        return [True, False]
    if isinstance(hint, type) and issubclass(hint, enum.Enum) and not issubclass(hint, enum.Flag):
        return list(hint)
    return None
