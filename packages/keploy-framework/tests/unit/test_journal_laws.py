"""Laws of the journal: what goes in comes out, up to where it was cut."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keploy_framework.model import (
    Direction,
    Exchange,
    Failure,
    Message,
    Omitted,
    Piece,
    Request,
    Response,
)
from keploy_framework.recording.journal import (
    MAGIC,
    Journaled,
    Opening,
    decode_exchange,
    encode_exchange,
    encode_piece,
    read_frames,
    read_journal,
    read_journaled,
    read_opening,
    scan_journal,
    write_record,
)
from keploy_framework.recording.journal_file import JournalFile
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.recording.session import join
from keploy_framework.recording.spool import Memory
from keploy_framework.redact import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

text = st.text(max_size=12)
anything = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
headers = st.lists(st.tuples(text, text), max_size=3).map(tuple)
times = st.floats(0, 1e6)
count = st.integers(0, 2**62)
omitted = st.one_of(st.none(), st.builds(Omitted, size=count, sha256=text, reason=text))
pieces = st.lists(st.builds(Piece, at=times, data=st.binary(max_size=20)), max_size=4).map(tuple)
requests = st.builds(
    Request,
    method=text,
    url=text,
    headers=headers,
    body=st.binary(max_size=30),
    http_version=text,
    omitted=omitted,
)
responses = st.builds(
    Response,
    status=st.integers(100, 599),
    reason=text,
    headers=headers,
    pieces=pieces,
    http_version=text,
    trailers=headers,
    omitted=omitted,
)
messages = st.builds(
    Message,
    at=times,
    sender=st.sampled_from(["client", "server"]),
    data=st.one_of(anything, st.binary(max_size=10)),
    close_code=st.one_of(st.none(), st.integers(1000, 4999)),
)
everything = st.builds(
    Exchange,
    id=text,
    direction=st.sampled_from(Direction),
    request=requests,
    response=st.one_of(st.none(), responses),
    started_at=count,
    ended_at=count,
    failure=st.one_of(st.none(), st.builds(Failure, kind=text, text=text)),
    parent=st.one_of(st.none(), text),
    messages=st.lists(messages, max_size=3).map(tuple),
    name=text,
)
OPENING = Opening("feed", 7, "boot:1", "here", None)


def journal_of(exchanges: list[Exchange]) -> bytes:
    file = io.BytesIO(MAGIC)
    file.seek(0, io.SEEK_END)
    write_record(file, OPENING.encode())
    for exchange in exchanges:
        write_record(file, encode_exchange(exchange))
    return file.getvalue()


@given(everything, st.one_of(st.none(), text), st.one_of(st.none(), text))
def test_an_exchange_is_read_as_it_was_written(
    exchange: Exchange, asked: str | None, answered: str | None
) -> None:
    """Every field, every byte, every time; and the files of long bodies."""
    response_file = answered if exchange.response is not None else None
    record = encode_exchange(exchange, request_file=asked, response_file=response_file)
    assert decode_exchange(record) == Journaled(exchange, asked, response_file)


@settings(max_examples=3 * settings().max_examples // 5)
@given(st.lists(everything, max_size=4), st.data())
def test_any_prefix_gives_the_exchanges_before_it(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Exchange], data: st.DataObject
) -> None:
    """A crash may cut the file anywhere: within the magic line, a frame, a payload."""
    whole = journal_of(exchanges)
    ends = [len(journal_of(exchanges[:number])) for number in range(len(exchanges) + 1)]
    cut = data.draw(st.one_of(st.sampled_from(ends), st.integers(0, len(whole))))
    path = tmp_path_factory.mktemp("journal") / "x.journal"
    path.write_bytes(whole[:cut])
    wanted = exchanges[: sum(end <= cut for end in ends[1:])]
    assert [entry.exchange for entry in read_journal(path)] == wanted
    assert read_opening(path) == (OPENING if cut >= ends[0] else None)


@settings(max_examples=3 * settings().max_examples // 5)
@given(st.lists(everything, min_size=1, max_size=4), st.data())
def test_damage_ends_the_reading_and_is_never_passed_on(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Exchange], data: st.DataObject
) -> None:
    """A bit that flipped on the disk costs its record and what comes after, never a wrong one."""
    whole = bytearray(journal_of(exchanges))
    start = len(journal_of([]))
    place = data.draw(st.integers(start, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("journal") / "x.journal"
    path.write_bytes(whole)
    found = [entry.exchange for entry in read_journal(path)]
    assert found == exchanges[: len(found)]
    assert len(found) < len(exchanges)


@given(st.lists(everything, max_size=4))
def test_each_exchange_can_be_read_alone(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Exchange]
) -> None:
    """By where it stands; merging sorts places, not bodies."""
    path = tmp_path_factory.mktemp("journal") / "x.journal"
    path.write_bytes(journal_of(exchanges))
    places = list(scan_journal(path))
    assert [(place.id, place.started_at) for place in places] == [
        (exchange.id, exchange.started_at) for exchange in exchanges
    ]
    assert [read_journaled(place).exchange for place in reversed(places)] == exchanges[::-1]


@given(
    st.builds(
        Opening,
        session=text,
        pid=count,
        started=text,
        host=text,
        test_set=st.one_of(st.none(), text),
        naming=st.sampled_from(["descriptive", "sequential"]),
    )
)
def test_an_opening_is_read_as_it_was_written(opening: Opening) -> None:
    """Whatever stands in it."""
    assert Opening.decode(opening.encode()) == opening


@given(st.lists(st.tuples(times, st.binary(max_size=20)), max_size=6), st.data())
def test_frames_of_a_long_body_are_read_up_to_the_tear(
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[tuple[float, bytes]],
    data: st.DataObject,
) -> None:
    """Times and bytes, those that are whole."""
    file = io.BytesIO()
    ends: list[int] = []
    for at, piece in frames:
        write_record(file, encode_piece(at, piece))
        ends.append(file.tell())
    cut = data.draw(st.integers(0, file.tell()))
    path = tmp_path_factory.mktemp("journal") / "x.body"
    path.write_bytes(file.getvalue()[:cut])
    assert list(read_frames(path)) == frames[: sum(end <= cut for end in ends)]


@pytest.mark.parametrize("data", [b"", MAGIC[:9], MAGIC, b"something else", MAGIC + b"\xff" * 9])
def test_what_holds_no_exchange_gives_none(tmp_path: Path, data: bytes) -> None:
    """Neither an error nor a guess."""
    path = tmp_path / "x.journal"
    path.write_bytes(data)
    assert list(scan_journal(path)) == []


class Failing:
    """A file whose writing fails when told to."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.broken = False

    def __getattr__(self, name: str) -> Callable[..., object]:
        if self.broken and name in {"write", "flush"}:
            raise OSError(28, "No space left on device")
        found: Callable[..., object] = getattr(self.file, name)
        return found


def begun(folder: Path, errors: list[BaseException]) -> tuple[JournalFile, Path, Failing]:
    """Return a journal that has begun, its path, and its file that may fail."""
    journal = JournalFile(Memory(1 << 20, "drop"), errors.append)
    session, path = join(folder)
    journal.begin(path, session, "descriptive", Redaction.default())
    file = journal._file  # pyright: ignore[reportPrivateUsage] - to break it
    assert file is not None
    failing = Failing(file)
    journal._file = failing  # type: ignore[assignment] # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return journal, path, failing


def refused(error: BaseException) -> None:
    raise AssertionError from error


def exchange_of(number: int) -> Exchange:
    request = Request("GET", f"http://t/{number}")
    return Exchange(str(number), Direction.INBOUND, request, None, number, number)


def test_a_write_that_failed_is_cut_off(tmp_path: Path) -> None:
    """What follows is readable; each failure is told."""
    errors: list[BaseException] = []
    journal, path, file = begun(tmp_path, errors)
    for number in range(9):
        file.broken = number % 3 == 1
        journal.write(partial(exchange_of, number))
        journal.flush()
    file.broken = False
    journal.close()
    assert [entry.exchange.id for entry in read_journal(path)] == ["0", "2", "3", "5", "6", "8"]
    assert len(errors) == 6, "writing and flushing, three times each"
    journal.close()
    journal.write(lambda: exchange_of(10))
    assert len(errors) == 6, "what is closed takes nothing and says nothing"


def test_an_exchange_that_cannot_be_built_costs_itself(tmp_path: Path) -> None:
    """The next is written."""
    errors: list[BaseException] = []
    journal, path, _ = begun(tmp_path, errors)

    def broken() -> Exchange:
        raise ZeroDivisionError

    journal.write(broken)
    journal.write(lambda: replace(exchange_of(1), name="n"))
    journal.close()
    assert [entry.exchange.name for entry in read_journal(path)] == ["n"]
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_long_body_that_cannot_be_written_is_dropped(tmp_path: Path) -> None:
    """Its file goes, the memory comes back, the exchange is told without it."""
    errors: list[BaseException] = []
    journal, path, _ = begun(tmp_path, errors)
    memory = journal._memory  # pyright: ignore[reportPrivateUsage] - to see what is held
    journal.begin_long("one.body", ())
    file = path.with_name(f"{path.stem}-one.body")
    assert file.exists()
    assert memory.take(10)
    memory.hand_over(10)
    journal._long["one.body"].file.close()  # pyright: ignore[reportPrivateUsage]
    journal.add_long("one.body", 0.0, b"x" * 400_000, 5)
    journal.add_long("one.body", 0.1, b"x" * 400_000, 5)
    assert [type(error) for error in errors] == [ValueError]
    assert memory.held == 0
    assert not file.exists()
    journal.begin_long("two.body", (("content-encoding", "br"),))
    journal.begin_long("three.body", ())
    journal.begin_long("three.body", ())
    assert [type(error) for error in errors] == [ValueError, FileExistsError]
    journal.drop_long("absent.body")
    journal.close()
    assert not list(path.parent.glob("*.body")), "unfinished bodies go when it is closed"


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.binary(max_size=40_000), min_size=1, max_size=8))
def test_a_long_body_without_secrets_comes_back_piece_by_piece(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    """Lengths, order and times stay; the bytes do if nothing looks like a secret."""
    folder = tmp_path_factory.mktemp("keploy")
    journal = JournalFile(Memory(1 << 30, "drop"), refused)
    session, path = join(folder)
    journal.begin(path, session, "descriptive", Unredacted())
    journal.begin_long("a.body", ())
    for at, part in enumerate(parts):
        journal.add_long("a.body", float(at), part, 0)
    journal.write(lambda: exchange_of(1), ("a.body", None))
    journal.close()
    (entry,) = read_journal(path)
    assert entry.request_file is not None
    found = list(read_frames(path.with_name(entry.request_file)))
    assert found == [(float(at), part) for at, part in enumerate(parts)]
