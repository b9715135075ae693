"""From what the user typed to a workflow: `MODULE_OR_FILE:NAME`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tta_dev_primitives.cli.problems import UsageProblem, one_line, place_of, user_frames
from tta_dev_primitives.core.base import WorkflowPrimitive, as_primitive

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("load", "load_all")


def load(target: str) -> WorkflowPrimitive[Any, Any]:
    """Return the workflow that a target names.

    Args:
        target: `package.module:name` or `path/to/file.py:name`, where `name` is a primitive, a
            class of primitives or a function that takes nothing and returns one. Dots reach
            into objects.

    Raises:
        UsageProblem: It names nothing, does not import, or is no workflow; the text says which.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name or "\\" in name or "/" in name:
        message = f"{target!r} is not MODULE_OR_FILE:NAME, such as flow.py:answer"
        raise UsageProblem(message)
    module = _module(place)
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageProblem(_missing(place, module, part)) from None
    return _as_workflow(target, found)


def load_all(target: str) -> dict[str, WorkflowPrimitive[Any, Any]]:
    """Return the workflow that a target names, or, without a name, all in a module, by target.

    Raises:
        UsageProblem: As `load`; or the module holds no workflow.
    """
    if ":" in target.removeprefix(Path(target).drive):
        return {target: load(target)}
    module = _module(target)
    found = {f"{target}:{name}": getattr(module, name) for name in _workflows_in(module)}
    if not found:
        message = f"{target} defines no workflow"
        raise UsageProblem(message)
    return found


# --- modules ------------------------------------------------------------------------------------


def _module(place: str) -> ModuleType:
    path = Path(place)
    is_file = path.suffix == ".py" or path.is_file()
    if is_file and not path.is_file():
        message = f"there is no file {place}"
        raise UsageProblem(message)
    try:
        return _import_file(path.resolve()) if is_file else _import_name(place)
    except UsageProblem:
        raise
    except (Exception, SystemExit) as error:
        missing = (isinstance(error, ModuleNotFoundError) and error.name) or ""
        if not is_file and not user_frames(error) and f"{place}.".startswith(f"{missing}."):
            message = f"there is no module {missing!r}"
            if Path(f"{place.replace('.', '/')}.py").is_file():
                message += f"; for the file write {place.replace('.', '/')}.py"
            raise UsageProblem(message) from None
        where = place_of(error)
        message = f"{place} does not import: {one_line(error)}{f' ({where})' if where else ''}"
        raise UsageProblem(message) from error


def _import_name(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        message = f"{name!r} is neither a file nor the name of a module"
        raise UsageProblem(message)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    """Import a file: as part of its package where it lies in one, so that its imports work."""
    root = path.parent
    parts = [path.stem] if path.stem != "__init__" else []
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    name = ".".join(parts)
    if len(parts) > 1:
        return importlib.import_module(name)
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None or not name.isidentifier() or name in sys.stdlib_module_names:
        name = f"_tta_{name}"  # it must not stand for a module of the same name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"{path.name} is not a Python file"
        raise UsageProblem(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up here
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# --- names --------------------------------------------------------------------------------------


def _workflows_in(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, WorkflowPrimitive)
    ]


def _missing(place: str, module: ModuleType, name: str) -> str:
    message = f"{place} has no {name!r}"
    close = get_close_matches(name, [n for n in vars(module) if not n.startswith("__")], n=1)
    workflows = _workflows_in(module)
    if close:
        return f"{message}; did you mean {close[0]!r}?"
    if workflows:
        return f"{message}; its workflows are {', '.join(workflows)}"
    return f"{message}, and no workflow at all"


def _as_workflow(target: str, found: object) -> WorkflowPrimitive[Any, Any]:
    if isinstance(found, WorkflowPrimitive):
        return as_primitive(found)  # pyright: ignore[reportUnknownArgumentType] - isinstance leaves the types open
    if not callable(found):
        message = f"{target} is {_a(type(found).__name__)}, not a primitive"
        raise UsageProblem(message)
    needed = _required(found)
    if needed:
        message = (
            f"{target} takes ({', '.join(needed)}), so it is neither a primitive nor a function "
            f"that makes one; to run it as a step, decorate it with @step"
        )
        raise UsageProblem(message)
    try:
        made: object = found()
    except (Exception, SystemExit) as error:
        where = place_of(error)
        message = f"{target}() failed: {one_line(error)}{f' ({where})' if where else ''}"
        raise UsageProblem(message) from error
    if isinstance(made, WorkflowPrimitive):
        return as_primitive(made)  # pyright: ignore[reportUnknownArgumentType] - as above
    if inspect.iscoroutine(made):
        made.close()
    message = f"{target}() returned {_a(type(made).__name__)}, not a primitive"
    raise UsageProblem(message)


def _required(function: object) -> list[str]:
    try:
        parameters = inspect.signature(cast("Any", function)).parameters.values()
    except (TypeError, ValueError):  # a C function or class without a signature
        return []
    return [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}
    ]


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
