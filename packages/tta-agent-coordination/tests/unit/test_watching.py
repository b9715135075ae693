"""What a watcher is told when it can only compare what it knows with what is there."""

from tta_agent_coordination import AgentChange, AgentId, AgentRecord, ChangeKind
from tta_agent_coordination.registries.store import Position, Snapshot
from tta_agent_coordination.registries.watching import Known

ONE = AgentId(type="writer", instance="1")


def snapshot(*states: tuple[int, bool]) -> Snapshot:
    """Return a snapshot with one agent, or none: incarnation, alive."""
    return Snapshot(
        position=Position("", 1),
        records=[
            AgentRecord(
                agent_id=ONE,
                incarnation=incarnation,
                alive=alive,
                capabilities=frozenset({"poems"}),
                registered_at=1.0,
                last_heartbeat=2.0,
            )
            for incarnation, alive in states
        ],
    )


def kinds(known: Known, *states: tuple[int, bool]) -> list[ChangeKind]:
    return [change.kind for change in known.compare(snapshot(*states))]


def test_nothing_new_is_nothing_to_tell() -> None:
    known = Known()

    assert kinds(known) == []
    assert kinds(known, (1, True)) == [ChangeKind.JOINED]
    assert kinds(known, (1, True)) == []


def test_an_agent_that_fell_silent_and_came_back_is_told_of() -> None:
    known = Known()
    assert kinds(known, (1, True)) == [ChangeKind.JOINED]

    assert kinds(known, (1, False)) == [ChangeKind.LOST]
    assert kinds(known, (1, False)) == []
    (back,) = known.compare(snapshot((1, True)))

    assert (back.kind, back.at) == (ChangeKind.BACK, 2.0)
    assert back.capabilities == frozenset({"poems"})


def test_another_incarnation_has_joined() -> None:
    known = Known()
    assert kinds(known, (1, True)) == [ChangeKind.JOINED]

    (joined,) = known.compare(snapshot((2, True)))

    assert (joined.kind, joined.incarnation, joined.at) == (ChangeKind.JOINED, 2, 1.0)


def test_who_is_gone_has_left_unless_it_was_silent() -> None:
    known = Known()
    assert kinds(known, (1, True)) == [ChangeKind.JOINED]
    assert kinds(known) == [ChangeKind.LEFT]
    assert kinds(known) == []

    assert kinds(known, (2, False)) == []
    assert kinds(known) == []
    assert not known


def test_what_was_told_one_by_one_is_known_as_well() -> None:
    known = Known()
    for kind in (ChangeKind.JOINED, ChangeKind.LOST):
        known.note(AgentChange(kind=kind, agent_id=ONE, incarnation=1, at=0.0))

    assert kinds(known, (1, True)) == [ChangeKind.BACK]
