"""`RouterPrimitive`: one of several routes, chosen by a selector, a tier, or cost and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from tta_dev_primitives.core.base import Composite, as_primitive, check_name, path_safe
from tta_dev_primitives.core.functions import Chooser
from tta_dev_primitives.core.notes import shown_value
from tta_dev_primitives.core.run import Run
from tta_dev_primitives.errors import CompositionError, ConfigurationError, RoutingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tta_dev_primitives.core import engine
    from tta_dev_primitives.core.base import AsyncStep, SyncStep
    from tta_dev_primitives.core.context import WorkflowContext

__all__ = ("Router", "RouterPrimitive")

TIn = TypeVar("TIn", contravariant=True)
TOut = TypeVar("TOut", covariant=True)
I = TypeVar("I")  # noqa: E741 - input
A = TypeVar("A")


class RouterPrimitive(Composite[TIn, TOut]):
    """Sends its input down one of several routes, which stand in order of rising quality.

    The first rule that decides wins:

    1. `selector`, when given, names the route.
    2. `tier` names it: read from the input (a mapping's key or an attribute), then from
       `context.data`.
    3. With `costs` and a budget on the context: the last route, that is the best, whose cost fits
       in what is left. Its cost is charged to the context with `context.spend()`.
    4. `default_route`.

    A selector or tier that names no route is answered by `default_route`, else by an error that
    lists the routes. With `costs`, every choice is charged, whichever rule made it.

    Args:
        routes: Steps by name; at least one.
        selector: `(context, input)` or `(input)`, synchronous or asynchronous; returns the name of
            a route.
        default_route: The route when no rule decides.
        costs: What one call of each route costs, zero or more, all in one unit; every route needs
            one.
        name: Default: `router`.

    Raises:
        CompositionError: No routes, or something is no step.
        ConfigurationError: `default_route` or a key of `costs` is no route, a cost is missing, or
            it is negative or not a number.
        RoutingError: From the call: no route fits; the message lists the routes.

    Example:
        >>> router = Router({"fast": str.lower, "quality": str.upper}, default_route="fast")
        >>> router.run("Hi")
        'hi'
    """

    kind = "choice"

    @overload
    def __init__(
        self: RouterPrimitive[I, A],
        routes: Mapping[str, AsyncStep[I, A]],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object] | None = None,
        default_route: str | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RouterPrimitive[I, A],
        routes: Mapping[str, SyncStep[I, A]],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object] | None = None,
        default_route: str | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: RouterPrimitive[I, A],
        routes: Mapping[str, AsyncStep[I, A] | SyncStep[I, A]],
        selector: Callable[[WorkflowContext, I], object] | Callable[[I], object] | None = None,
        default_route: str | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        routes: Any,
        selector: Any = None,
        default_route: str | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(routes, Mapping) or not routes:
            message = f"Router needs routes, a dict of at least one step, not {routes!r}"
            raise CompositionError(message)
        named = cast("Mapping[object, object]", routes)
        for key in named:
            if not isinstance(key, str) or not key:
                message = f"a route of Router has the name {key!r}; names are texts"
                raise CompositionError(message)
        self._routes = {cast("str", key): index for index, key in enumerate(named)}
        self._steps = tuple(
            as_primitive(s, role=f"route {key!r} of Router") for key, s in named.items()
        )
        self._labels = tuple(path_safe(key) for key in self._routes)
        self._selector = None if selector is None else Chooser(selector, role="selector of Router")
        if default_route is not None and default_route not in self._routes:
            message = f"default_route {default_route!r} is no route; {self._listed()}"
            raise ConfigurationError(message)
        self._default = default_route
        self._costs = None if costs is None else self._checked_costs(costs)
        self._name = check_name(name) if name is not None else None

    def _listed(self) -> str:
        return f"the routes are {', '.join(map(repr, self._routes))}"

    def _checked_costs(self, costs: Mapping[str, float]) -> dict[str, float]:
        strange = [key for key in costs if key not in self._routes]
        missing = [key for key in self._routes if key not in costs]
        if strange or missing:
            what = (
                f"costs for {strange[0]!r}, which is no route"
                if strange
                else (f"no cost for the route {missing[0]!r}")
            )
            message = f"Router was given {what}; {self._listed()}"
            raise ConfigurationError(message)
        for key, cost in costs.items():
            if not (isinstance(cost, (int, float)) and math.isfinite(cost) and cost >= 0):  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a checker
                message = f"the cost of route {key!r} must be a finite number from 0, not {cost!r}"
                raise ConfigurationError(message)
        return dict(costs)

    @property
    def edge_labels(self) -> tuple[str, ...]:
        """The names of the routes."""
        return tuple(self._routes)

    @property
    def default_route(self) -> str | None:
        """The route when no rule decides."""
        return self._default

    async def _execute_impl(
        self, context: WorkflowContext, input_data: Any, site: engine.Site | None = None
    ) -> Any:
        with Run(self, context, site) as run:
            route, reason = await self._choose(context, input_data)
            run.note(route=route, reason=reason)
            if self._costs is not None:
                context.spend(self._costs[route])
            return run.checked(await run.call(self._routes[route], input_data))

    async def _choose(self, context: WorkflowContext, input_data: Any) -> tuple[str, str]:
        """Return the route and the rule that chose it."""
        wanted: object = None
        reason = "tier"
        if self._selector is not None:
            wanted, reason = await self._selector(context, input_data), "selector"
        else:
            wanted = _tier_of(input_data)
            if wanted is None:
                wanted = context.data.get("tier")
        if wanted is not None:
            if isinstance(wanted, str) and wanted in self._routes:
                return wanted, reason
            if self._default is not None:
                return self._default, "default"
            message = f"{self.name!r} has no route {shown_value(wanted)}; {self._listed()}"
            raise RoutingError(message, selected=wanted, routes=tuple(self._routes))
        left = context.remaining_budget
        if self._selector is None and self._costs is not None and left is not None:
            affordable = [route for route, cost in self._costs_in_order() if cost <= left]
            if affordable:
                return affordable[-1], "budget"
        if self._default is not None:
            return self._default, "default"
        raise RoutingError(self._undecided(left), routes=tuple(self._routes))

    def _costs_in_order(self) -> list[tuple[str, float]]:
        costs = self._costs or {}
        return [(route, costs[route]) for route in self._routes]

    def _undecided(self, left: float | None) -> str:
        if self._selector is not None:
            return (
                f"the selector of {self.name!r} returned None and there is no default_route; "
                f"{self._listed()}"
            )
        if self._costs is not None and left is not None:
            priced = ", ".join(f"{route!r} {cost:g}" for route, cost in self._costs_in_order())
            return f"{self.name!r} has {left:g} of its budget left, but the routes cost {priced}"
        return (
            f"nothing chooses a route of {self.name!r}: give a selector or default_route, put "
            f"'tier' into the input or context.data, or give costs and a budget; {self._listed()}"
        )


def _tier_of(input_data: Any) -> object:
    """Return what the input says of its tier; None when it says nothing."""
    if isinstance(input_data, Mapping):
        return cast("Mapping[object, object]", input_data).get("tier")
    return getattr(input_data, "tier", None)


Router = RouterPrimitive
