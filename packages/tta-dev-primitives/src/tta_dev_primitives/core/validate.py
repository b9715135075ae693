"""Validation at the edges of a workflow, and its JSON Schema; needs the extra `pydantic`.

Inside a workflow the types are the checker's business. Where data comes in from outside, `Validate`
turns it into a model or says which field is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tta_dev_primitives.core.annotations import shown
from tta_dev_primitives.core.base import WorkflowPrimitive, check_name
from tta_dev_primitives.errors import ConfigurationError, DataValidationError, MissingExtraError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Validate", "ValidatePrimitive", "input_schema", "output_schema")

M = TypeVar("M")

_SHOWN_ERRORS = 10  # more would bury the first, which is the one to mend


class ValidatePrimitive(WorkflowPrimitive[object, M]):
    """Turns its input into an instance of a model, or says which fields do not fit.

    Put it in front of a workflow whose input comes from outside, or behind one whose output is
    promised to others.

    Args:
        model: A pydantic model, a dataclass, a TypedDict, or any type that pydantic understands,
            such as `list[int]`.
        strict: Whether values of a neighboring type are refused instead of converted, such as
            "3" for an int. Default: False.
        json: Whether the input is JSON text (str or bytes) instead of Python data. Default: False.
        name: Default: `validate`.

    Raises:
        MissingExtraError: pydantic is not installed.
        ConfigurationError: pydantic cannot make a schema of the model.
        DataValidationError: From the call: the input does not fit. Its message names each field
            that does not, and its `fields` lists them.

    Example:
        >>> flow = Validate(list[int]) >> sum
        >>> flow.run(["1", 2])
        3
    """

    def __init__(
        self,
        model: type[M],
        *,
        strict: bool = False,
        json: bool = False,
        name: str | None = None,
    ) -> None:
        self._adapter: TypeAdapter[M] = _adapter(model, f"{shown(model)} of Validate")
        self._model = model
        self._strict = strict
        self._json = json
        self._name = check_name(name) if name is not None else None

    @property
    def signature(self) -> tuple[Any, Any]:
        """Anything in, the model out."""
        return Any, self._model

    async def _execute_impl(self, context: WorkflowContext, input_data: object) -> M:  # noqa: ARG002 - the signature of every primitive
        from pydantic import ValidationError  # noqa: PLC0415 - an optional dependency

        try:
            if self._json:
                if not isinstance(input_data, (str, bytes, bytearray)):
                    message = (
                        f"{self.name!r} expects JSON text, but its input is a "
                        f"{type(input_data).__name__}; leave out json=True for Python data"
                    )
                    raise DataValidationError(message)
                return self._adapter.validate_json(input_data, strict=self._strict)
            return self._adapter.validate_python(input_data, strict=self._strict)
        except ValidationError as error:
            raise _explained(error, self._model) from None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 2020-12) of what is accepted."""
        return self._adapter.json_schema()


def _adapter(model: Any, what: str) -> TypeAdapter[Any]:
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - an optional dependency
        from pydantic.errors import PydanticUserError  # noqa: PLC0415 - an optional dependency
    except ImportError:
        feature = "Validate" if what.endswith("of Validate") else "A JSON Schema"
        raise MissingExtraError(feature, "pydantic") from None
    try:
        return TypeAdapter(model)
    except (PydanticUserError, TypeError, ValueError) as error:
        message = f"pydantic makes no schema of {what}: {str(error).splitlines()[0]}"
        raise ConfigurationError(message) from None


def _explained(error: ValidationError, model: object) -> DataValidationError:
    problems = error.errors(include_url=False, include_context=False)
    fields = tuple(".".join(map(str, problem["loc"])) for problem in problems)
    told = [
        f"{field or 'the input itself'}: {problem['msg']}, not {problem['input']!r:.60}"
        if problem["type"] != "missing"
        else f"{field}: this field is missing"
        for field, problem in zip(fields, problems, strict=True)
    ]
    more = f"; and {len(told) - _SHOWN_ERRORS} more" if len(told) > _SHOWN_ERRORS else ""
    message = f"the data does not fit {shown(model)}: {'; '.join(told[:_SHOWN_ERRORS])}{more}"
    return DataValidationError(message, fields=fields)


def input_schema(workflow: WorkflowPrimitive[Any, Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a workflow takes, from its annotations.

    Where nothing is annotated, the schema is `{}`, which accepts anything.

    Args:
        workflow: Its first step decides; for a `Validate`, the model.

    Raises:
        MissingExtraError: pydantic is not installed.
        ConfigurationError: pydantic cannot make a schema of the annotated type.
    """
    first = workflow
    while first.nodes and first.kind == "sequence":
        first = first.nodes[0]
    if isinstance(first, ValidatePrimitive):
        return first.json_schema()
    return _schema(workflow.signature[0], f"the input of {workflow.name!r}")


def output_schema(workflow: WorkflowPrimitive[Any, Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a workflow gives, from its annotations.

    Args:
        workflow: Its last step decides.

    Raises:
        MissingExtraError: pydantic is not installed.
        ConfigurationError: pydantic cannot make a schema of the annotated type.
    """
    return _schema(workflow.signature[1], f"the output of {workflow.name!r}")


def _schema(hint: Any, what: str) -> dict[str, Any]:
    adapter = _adapter(hint, f"{shown(hint)}, {what}")
    return {} if hint is Any else adapter.json_schema()


Validate = ValidatePrimitive
