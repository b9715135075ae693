"""The recorder under load and in trouble: many at once, full disks, signals, forks."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from keploy_framework.errors import JournalError
from keploy_framework.model import Direction
from keploy_framework.recording.compact import compact
from keploy_framework.recording.journal import read_journal
from keploy_framework.recording.recorder import Recorder
from keploy_framework.recording.redaction import Unredacted
from keploy_framework.recording.session import journals
from keploy_framework.redact import Redaction
from keploy_framework.storage.folder import KeployFolder

if TYPE_CHECKING:
    from conftest import Processes

    from keploy_framework.model import Exchange
    from keploy_framework.recording.open_exchange import OpenExchange

HEAD = (("content-type", "text/plain"),)


def opened(recorder: Recorder, number: int | str) -> OpenExchange:
    exchange = recorder.open(Direction.INBOUND, "POST", f"http://t/{number}", HEAD)
    assert exchange is not None
    return exchange


def exchanges(folder: Path) -> list[Exchange]:
    """Read all journals of a folder."""
    return [entry.exchange for _, path in journals(folder) for entry in read_journal(path)]


async def test_a_hundred_exchanges_at_once_do_not_mix(tmp_path: Path) -> None:
    """Pieces interleave as they like; each exchange keeps its own, in order."""
    chance = random.Random(7)

    async def one(recorder: Recorder, number: int) -> None:
        exchange = opened(recorder, number)
        exchange.request_piece(b"%d" % number)
        await asyncio.sleep(0)
        exchange.response_head(200, "OK", HEAD)
        for piece in range(chance.randint(1, 9)):
            exchange.response_piece(b"%d:%d;" % (number, piece))
            await asyncio.sleep(0)
        exchange.end()

    async with Recorder(tmp_path, redact=Unredacted(), compact=False) as recorder:
        await asyncio.gather(*(one(recorder, number) for number in range(100)))
    found = await asyncio.to_thread(exchanges, tmp_path)
    assert (len(found), recorder.dropped) == (100, 0)
    for exchange in found:
        number = exchange.request.body
        assert exchange.request.url == f"http://t/{number.decode()}"
        assert exchange.response is not None
        count = len(exchange.response.pieces)
        assert exchange.response.body == b"".join(b"%b:%d;" % (number, n) for n in range(count))
    assert len({exchange.id for exchange in found}) == 100


async def test_threads_and_a_loop_record_at_the_same_time(tmp_path: Path) -> None:
    """As a server does that runs some of its views in threads."""

    def record(recorder: Recorder, name: str) -> None:
        for number in range(50):
            exchange = opened(recorder, f"{name}/{number}")
            exchange.response_head(200, "", ())
            exchange.response_piece(name.encode())
            exchange.end()

    async with Recorder(tmp_path, redact=Unredacted(), compact=False) as recorder:
        threads = [asyncio.to_thread(record, recorder, f"thread-{number}") for number in range(4)]
        tasks = [asyncio.to_thread(recorder.flush, 60.0) for _ in range(3)]
        await asyncio.gather(*threads, *tasks)
        record(recorder, "loop")
    found = await asyncio.to_thread(exchanges, tmp_path)
    assert (len(found), recorder.dropped, recorder.problem) == (250, 0, None)
    assert all(
        exchange.response is not None and exchange.response.body.decode() in exchange.request.url
        for exchange in found
    )


def test_memory_is_all_given_back(tmp_path: Path) -> None:
    """However exchanges end: whole, failed, cut short, too long, too much."""
    chance = random.Random(3)
    with Recorder(
        tmp_path, redact=Unredacted(), compact=False, max_memory=200_000, max_body=5000,
        store_large=True,
    ) as recorder:  # fmt: skip
        for number in range(300):
            exchange = recorder.open(Direction.INBOUND, "POST", f"http://t/{number}", HEAD)
            if exchange is None:
                continue
            for _ in range(chance.randint(0, 4)):
                exchange.request_piece(bytes(chance.randint(0, 3000)))
            exchange.response_head(200, "", ())
            for _ in range(chance.randint(0, 4)):
                exchange.response_piece(bytes(chance.randint(0, 3000)))
            exchange.message("client", "x" * chance.randint(0, 100))
            if chance.random() < 0.5:
                exchange.end()
            else:
                exchange.fail(ValueError("broken"))
            exchange.end()
            exchange.response_piece(b"after the end")
            exchange.message("client", "after the end")
            exchange.trailers((("a", "b"),))
            exchange.response_head(500, "", ())
            if number % 50 == 0:
                assert recorder.flush()
        assert recorder.flush()
        intake = recorder._intake  # pyright: ignore[reportPrivateUsage] - what is held is in there
        assert intake is not None
        assert intake.memory.held == 0
    assert recorder.problem is None
    found = exchanges(tmp_path)
    assert len(found) + recorder.dropped == 300
    assert not any(b"after" in exchange.request.body for exchange in found)
    compact(tmp_path)


class Broken:
    """A redaction that fails now and then, as a bug in one would."""

    def __init__(self) -> None:
        self.seen = 0

    def exchange(self, exchange: Exchange) -> Exchange:
        self.seen += 1
        if self.seen % 3 == 0:
            raise ZeroDivisionError
        return exchange

    def window(self, headers: object) -> Any:
        raise ZeroDivisionError


def test_an_error_in_the_redaction_costs_one_exchange(tmp_path: Path) -> None:
    """It is not written unredacted, and the others are kept."""
    with Recorder(tmp_path, redact=Broken(), max_body=10, store_large=True) as recorder:
        for number in range(9):
            exchange = opened(recorder, number)
            exchange.response_head(200, "", ())
            exchange.response_piece(b"short" if number else b"a body that is long")
            exchange.end()
    assert isinstance(recorder.problem, ZeroDivisionError)
    assert recorder.dropped == 4
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 6


def test_a_clock_that_fails_costs_what_it_timed(tmp_path: Path) -> None:
    """Nothing is raised into the traffic."""

    class Clock:
        def __init__(self) -> None:
            self.calls = 0

        def wall_ns(self) -> int:
            return 0

        def monotonic(self) -> float:
            self.calls += 1
            if self.calls > 2:
                raise OSError("no clock")
            return 0.0

    with Recorder(tmp_path, redact=Unredacted(), clock=Clock(), compact=False) as recorder:
        exchange = opened(recorder, 1)
        exchange.message("client", "a")
        exchange.message("client", "b")
        exchange.response_piece(b"c")
        exchange.end()
    assert isinstance(recorder.problem, OSError)
    assert exchanges(tmp_path) == []


def test_an_error_that_cannot_be_printed_is_told_all_the_same(tmp_path: Path) -> None:
    """Its own text raises."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with Recorder(tmp_path, redact=Unredacted(), compact=False) as recorder:
        opened(recorder, 1).fail(MuteError())
    ((exchange),) = exchanges(tmp_path)
    assert exchange.failure is not None
    assert exchange.failure.kind.endswith("MuteError")
    assert exchange.failure.text == "(its text raised RuntimeError)"


def test_a_full_disk_costs_what_did_not_fit(tmp_path: Path, processes: Processes) -> None:
    """The journal stays readable, and what comes after there is room again is kept."""
    code = """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        recorder.start()
        record("before", 5)
        recorder.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
        record("full", 50)
        recorder.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        record("after", 5)
        recorder.flush()
        print(recorder.dropped > 0, type(recorder.problem).__name__, flush=True)
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == "True OSError\n"
    names = KeployFolder(tmp_path).set("test-set-0").case_names()
    assert sum("before" in name for name in names) == 5
    assert sum("after" in name for name in names) == 5
    assert sum("full" in name for name in names) < 50


def test_a_folder_that_cannot_be_written_drops_and_warns_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application runs on; its end says why nothing was recorded."""
    real = Path.mkdir

    def refused(self: Path, *given: Any, **named: Any) -> None:
        if self.name == ".journal":
            raise PermissionError(13, "Permission denied", str(self))
        real(self, *given, **named)

    monkeypatch.setattr(Path, "mkdir", refused)
    recorder = Recorder(tmp_path / "keploy", redact=Unredacted())
    opened(recorder, 1).end()
    recorder.flush()
    assert recorder.open(Direction.INBOUND, "GET", "http://t/", ()) is None
    with pytest.warns(RuntimeWarning, match="Permission denied"):
        recorder.close()
    with pytest.raises(JournalError, match="Permission denied"):
        Recorder(tmp_path / "keploy", redact=Unredacted()).start()


def test_a_journal_that_cannot_be_made_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is free for the next."""
    real = Path.open

    def refused(self: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        if mode == "xb":
            raise OSError(28, "No space left on device", str(self))
        return real(self, mode, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        with pytest.raises(JournalError, match=r"cannot write .* No space left"):
            Recorder(tmp_path, redact=Unredacted()).start()
    with Recorder(tmp_path, redact=Unredacted()) as recorder:
        opened(recorder, 1).fail(ValueError("x"))
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 1


def test_a_closed_recorder_records_nothing_more(tmp_path: Path) -> None:
    """And says so when it is started again; closing twice is no harm."""
    recorder = Recorder(tmp_path, redact=Unredacted())
    recorder.close()
    recorder.close()
    assert recorder.open(Direction.INBOUND, "GET", "http://t/", ()) is None
    assert recorder.flush()
    with pytest.raises(JournalError, match="is closed; make a new one"):
        recorder.start()
    assert recorder.session is None
    assert recorder.enabled


def test_an_exchange_that_outlives_its_recorder_is_no_harm(tmp_path: Path) -> None:
    """It ends into nothing, and was named when the recorder closed."""
    recorder = Recorder(tmp_path, redact=Unredacted())
    recorder.start()
    exchange = opened(recorder, 1)
    with pytest.warns(RuntimeWarning, match="POST http://t/1"):
        recorder.close()
    exchange.response_head(200, "", ())
    exchange.response_piece(b"late")
    exchange.end()
    assert recorder.dropped == 1


def test_sigterm_in_the_middle_of_traffic_keeps_what_ended(
    tmp_path: Path, processes: Processes
) -> None:
    """A handler of the application's own is left alone."""
    code = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        record("a", 3)
        print(1, flush=True)
        rest()
    """
    process = processes.run(tmp_path, code)
    processes.ready(process)
    process.terminate()
    assert processes.output(process) == ""
    assert process.returncode == 7
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 3


def test_a_second_sigterm_does_not_wait(tmp_path: Path, processes: Processes) -> None:
    """Who is asked twice goes at once, also when the disk hangs."""
    code = """
        record("a")
        recorder.flush()
        recorder._intake.spool.put(rest)
        def flush(self, timeout=600):
            print("asked once", flush=True)
            return real(self, timeout)
        real, Recorder.flush = Recorder.flush, flush
        print("ready", flush=True)
        rest()
    """
    process = processes.run(tmp_path, code)
    processes.ready(process)
    process.terminate()
    processes.ready(process)
    process.terminate()
    processes.output(process)
    assert process.returncode == -signal.SIGTERM
    compact(tmp_path)
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 1


@pytest.mark.slow
def test_a_process_killed_at_any_moment_leaves_whole_exchanges(
    tmp_path: Path, processes: Processes
) -> None:
    """SIGKILL while it writes: what is read is what was sent, in its order, without gaps."""
    code = """
        print(1, flush=True)
        for number in range(1000):  # as many as can be looked at, should the end come late
            record(f"n/{number}")
            time.sleep(0)
        rest()
    """
    chance = random.Random(11)
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        process = processes.run(folder, code)
        processes.ready(process)
        time.sleep(0.02 + chance.random() / 10)
        process.kill()
        processes.output(process)
        urls = [exchange.request.url for exchange in exchanges(folder)]
        assert urls == [f"http://t/n/{number}" for number in range(len(urls))]
        compact(folder)
        sets = KeployFolder(folder).sets()
        assert sum(len(KeployFolder(folder).set(name)) for name in sets) == len(urls)


def test_a_fork_in_the_middle_of_traffic_doubles_nothing(
    tmp_path: Path, processes: Processes
) -> None:
    """What waited for the disk in the parent is the parent's alone."""
    code = """
        recorder.start()
        record("parent", 50)
        child = os.fork()
        if not child:
            record("child", 5)
            recorder.close()
            os._exit(0)
        record("parent", 50)
        os.waitpid(child, 0)
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    names = KeployFolder(tmp_path).set("test-set-0").case_names()
    assert sum(name.startswith("get-parent") for name in names) == 100
    assert sum(name.startswith("get-child") for name in names) == 5


def test_children_of_multiprocessing_close_their_recorders(
    tmp_path: Path, processes: Processes
) -> None:
    """They end without `atexit`."""
    code = """
        import multiprocessing
        recorder.start()
        def work():
            record("child", 2)
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0
        recorder.close()
    """
    assert processes.output(processes.run(tmp_path, code)) == ""
    assert len(KeployFolder(tmp_path).set("test-set-0")) == 2


def test_the_end_of_the_process_says_why_a_recording_stays_a_journal(
    tmp_path: Path, processes: Processes
) -> None:
    """A warning, not a traceback; the journal is kept."""
    code = """
        from pathlib import Path
        recorder.start()
        record("a")
        recorder.flush()
        (Path(sys.argv[1]) / "test-set-0").mkdir()
        from keploy_framework.errors import JournalError
        from keploy_framework.recording import compact
        def broken(*_):
            raise JournalError("no")
        compact.compact = broken
    """
    said = processes.output(processes.run(tmp_path, code))
    assert "the recording is kept as a journal: no" in said
    assert "Traceback" not in said
    assert compact(tmp_path)[0].cases == 1


def test_patched_clients_are_let_go_when_the_block_ends(tmp_path: Path) -> None:
    """Also by an error."""
    before = httpx.HTTPTransport.handle_request
    recorder = Recorder(tmp_path, redact=Unredacted(), outbound=["httpx"])
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError if httpx.HTTPTransport.handle_request is not before else KeyError
    assert httpx.HTTPTransport.handle_request is before


async def test_patched_clients_are_let_go_when_an_async_block_ends(tmp_path: Path) -> None:
    """All that are installed."""
    before = httpx.HTTPTransport.handle_request
    async with Recorder(tmp_path, redact=Unredacted(), outbound="installed"):
        assert httpx.HTTPTransport.handle_request is not before
    assert httpx.HTTPTransport.handle_request is before


def test_many_recorders_in_folders_of_their_own(tmp_path: Path) -> None:
    """They share nothing: neither placeholders nor sessions."""

    def record(number: int) -> None:
        with Recorder(tmp_path / str(number), redact=Redaction.default()) as recorder:
            head = (("authorization", f"Bearer token-{number}"),)
            exchange = recorder.open(Direction.INBOUND, "GET", "http://t/", head)
            assert exchange is not None
            exchange.response_head(204, "", ())
            exchange.end()

    threads = [threading.Thread(target=record, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        (case,) = KeployFolder(tmp_path / str(number)).set("test-set-0")
        assert case.exchange is not None
        assert case.exchange.request.headers == (("authorization", "Bearer [redacted:bearer:1]"),)
