"""Each plant goes through the redaction alone: the secret goes, all else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keploy_framework.recording.journal import decode_exchange, encode_exchange
from keploy_framework.redact import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_secret_is_gone(plant: Any, leaked: Callable[[bytes], list[str]]) -> None:
    """It cannot be read in the record of the exchange, in no spelling."""
    record = encode_exchange(Redaction.default().exchange(plant.exchange()))

    assert leaked(record) == []


def test_the_secret_was_there(plant: Any, leaked: Callable[[bytes], list[str]]) -> None:
    """Without redaction it can be read: the search is not blind."""
    assert plant.name in leaked(encode_exchange(plant.exchange()))


def test_a_second_redaction_finds_nothing(plant: Any) -> None:
    """What was redacted once stays as it is, also for a redaction that never saw the secret."""
    clean = Redaction.default().exchange(plant.exchange())

    assert Redaction.default().exchange(clean) == clean


def test_pieces_and_messages_stay_as_many_and_none_becomes_empty(plant: Any) -> None:
    """An empty piece would end a chunked body."""
    dirty = plant.exchange()
    clean = Redaction.default().exchange(dirty)
    assert clean.response is not None

    assert len(clean.response.pieces) == len(dirty.response.pieces)
    full = [bool(piece.data) for piece in clean.response.pieces]
    wanted = min(sum(bool(each.data) for each in dirty.response.pieces), len(clean.response.body))
    assert full == [True] * wanted + [False] * (len(full) - wanted)
    assert [bool(each.data) for each in clean.messages] == [True] * len(dirty.messages)


def test_a_redacted_exchange_survives_the_journal(plant: Any) -> None:
    """It is written and read back as it is."""
    clean = Redaction.default().exchange(plant.exchange())

    assert decode_exchange(encode_exchange(clean)).exchange == clean


def test_the_same_plant_twice_has_the_same_placeholders(plant: Any) -> None:
    """Equal secrets are equal in all exchanges of a recording."""
    redaction = Redaction.default()

    assert redaction.exchange(plant.exchange()) == redaction.exchange(plant.exchange())
