"""Classes that miss a protocol: each marked line is flagged by both checkers."""

from tta_dev_primitives import Record, add_observer
from tta_dev_primitives.core.protocols import CallerObserver, NullObserver, Observer, StartObserver


class Deaf:
    def end(self, record: Record) -> None: ...


class Picky:
    def ended(self, record: Record, verbose: bool) -> None: ...


class Mistaken:
    def ended(self, record: str) -> None: ...


class Slow:
    async def ended(self, record: Record) -> None: ...


deaf: type[Observer] = Deaf  # BAD: no method `ended`
picky: type[Observer] = Picky  # BAD: `ended` needs a second argument
mistaken: type[Observer] = Mistaken  # BAD: `ended` takes a text
slow: type[Observer] = Slow  # BAD: `ended` is asynchronous
silent: type[StartObserver] = NullObserver  # BAD: no method `started`
placeless: type[CallerObserver] = NullObserver  # BAD: no method `caller`
add_observer(Deaf())  # BAD: no observer
add_observer(NullObserver)  # BAD: a class, not an observer
