"""When a store is worth asking, against a plain list of what happened."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tta_dev_primitives.performance.store_guard import StoreHealth


class Health(RuleBasedStateMachine):
    """`StoreHealth` against a list of what happened."""

    LIMIT = 3
    PAUSE = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.health = StoreHealth(failures=self.LIMIT, pause=self.PAUSE)
        self.now = 0.0
        self.row = 0
        self.until = 0.0
        self.trying = 0

    @rule(seconds=st.floats(0, 15))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        closed = self.row >= self.LIMIT
        expected = not closed or (self.now >= self.until and not self.trying)
        assert self.health.admit(self.now) == expected
        self.trying += expected

    @precondition(lambda self: self.trying)
    @rule(how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def answer(self, how: str) -> None:
        self.trying = 0
        if how == "succeeded":
            self.health.succeeded()
            self.row = 0
        elif how == "failed":
            self.health.failed(self.now)
            self.row += 1
            if self.row >= self.LIMIT:
                self.until = self.now + self.PAUSE
        else:
            self.health.abandoned()


TestHealth = Health.TestCase
