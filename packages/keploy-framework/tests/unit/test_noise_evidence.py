"""Noise by evidence: what varies from replay to replay, of which kind, and what stays asserted."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.errors import OptionError
from keploy_framework.matching import answer_differences, json_differences, parsed
from keploy_framework.model import Piece, Response
from keploy_framework.noise import NoiseRules, classify, explain, instant, typed_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keploy_framework.noise import Evidence

NOW = 1_763_712_000
UUIDS = (
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "a8098c1a-f86e-11da-bd1a-00112444be1e",
    "6fa459ea-ee8a-3ca4-894e-db77e160355e",
)


def judged(*bodies: Any, **options: Any) -> dict[str, Evidence]:
    texts = [parsed(json.dumps(body)) for body in bodies]
    passes = [json_differences(texts[0], text) for text in texts[1:]]
    return {evidence.path: evidence for evidence in classify(passes, **options)}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([*UUIDS], "uuid"),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:01Z", "2024-01-01T10:00:02Z"], "time"),
        (
            [
                "2024-01-01T10:00:00.123456789+02:00",
                "2024-01-01T10:00:01.1+02:00",
                "2024-01-01T10:00:02.5+02:00",
            ],
            "time",
        ),
        (["2024-01-01 10:00:00", "2024-01-01 10:00:01", "2024-01-01 10:00:02"], "time"),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "time"),
        (
            [
                "Mon, 01 Jan 2024 10:00:00 GMT",
                "Mon, 01 Jan 2024 10:00:01 GMT",
                "Mon, 01 Jan 2024 10:00:02 GMT",
            ],
            "time",
        ),
        ([1700000000, 1700000100, 1700000200], "time"),
        ([1700000000123, 1700000100123, 1700000200123], "time"),
        ([1700000000123456, 1700000100123456, 1700000200123456], "time"),
        ([1700000000123456789, 1700000100123456789, 1700000200123456789], "time"),
        ([1700000000.25, 1700000100.5, 1700000200.125], "time"),
        ([17, 18, 19], "counter"),
        (["17", "18", "25"], "counter"),
        (["ord-17", "ord-18", "ord-25"], "counter"),
        (["/orders/9", "/orders/10", "/orders/11"], "counter"),
        ([f"/o/{each}/x" for each in UUIDS], "uuid"),
        (["chatcmpl-Ab3dE6gH9jK2", "chatcmpl-Zy8wV5tS2qP1", "chatcmpl-m4N7b1V8c2X9"], "token"),
        (["9f86d081884c7d65", "60303ae22b998861", "fd61a03af4f77d87"], "token"),
        (["abcDEFghiJKLmno", "zYxwVUTsrqPonm", "qweRTYuioPASdf"], "token"),
        ([0.1234567, 0.1234568, 0.1234569], "float"),
        ([1e-9, 1.00001e-9, 1.00002e-9], "float"),
        ([0.0123, 0.0457, 0.0311], "number"),
        ([9, 3, 7], "number"),
        ([-5, 5, 7], "number"),
        (["alpha", "beta", "gamma"], None),
        (["a text of words", "another text", "third one here"], None),
        ([True, False, True], None),
        (["v1.2.3", "v1.2.4", "v2.0.0"], None),
    ],
)
def test_what_varies_is_of_a_kind(values: list[Any], kind: str | None) -> None:
    """Three runs are enough to tell; what has no kind stays a difference."""
    (found,) = judged(*({"x": value} for value in values)).values()

    assert found.kind == kind
    assert found.is_noise is (kind is not None)
    if kind is not None:
        rules = NoiseRules(dict([found.entry]))
        for other in values[1:]:
            old, new = parsed(json.dumps({"x": values[0]})), parsed(json.dumps({"x": other}))
            assert json_differences(old, new, excuses=rules) == []


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ([17, 18, 19], 3),
        ([17, 18, 19], "x"),
        ([0.1234567, 0.1234568, 0.1234569], 0.2),
        ([*UUIDS], "none"),
        (
            ["2024-01-01T10:00:00Z", "2024-01-01T10:00:01Z", "2024-01-01T10:00:02Z"],
            "2024-99-01T10:00:00Z",
        ),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:01Z", "2024-01-01T10:00:02Z"], "yesterday"),
        ([1700000000, 1700000100, 1700000200], -1),
        (["/orders/9", "/orders/10", "/orders/11"], "/other/12"),
        (["9f86d081884c7d65", "60303ae22b998861", "fd61a03af4f77d87"], "short"),
        (["9f86d081884c7d65", "60303ae22b998861", "fd61a03af4f77d87"], None),
    ],
)
def test_a_kind_is_still_asserted(values: list[Any], wrong: Any) -> None:
    """A counter must not fall, a UUID must be one, a time must exist, a prefix must stay."""
    (found,) = judged(*({"x": value} for value in values)).values()
    rules = NoiseRules(dict([found.entry]))

    old, new = parsed(json.dumps({"x": values[0]})), parsed(json.dumps({"x": wrong}))
    assert json_differences(old, new, excuses=rules)


def test_a_change_that_stays_is_no_noise() -> None:
    """The replays agree with each other: the application has changed."""
    (found,) = judged({"x": 17}, {"x": 18}, {"x": 18}).values()

    assert not found.is_noise
    assert "agree" in found.reason


def test_the_time_of_each_run_is_noise_even_within_one_second() -> None:
    """Two replays in the same second agree; that it is their own time tells."""
    bodies = [{"x": NOW - 5_000}, {"x": NOW}, {"x": NOW}]

    assert not judged(*bodies)["body.x"].is_noise
    assert judged(*bodies, recorded_at=NOW - 5_000.5, replayed_at=[NOW + 0.2, NOW + 0.9])[
        "body.x"
    ].is_noise
    old = [{"x": NOW - 99_000}, {"x": NOW}, {"x": NOW}]
    assert not judged(*old, recorded_at=NOW - 5_000, replayed_at=[NOW, NOW])["body.x"].is_noise


def test_a_change_of_shape_is_no_noise() -> None:
    """A key that comes and goes, a type that changes, an array that grows."""
    found = judged({"a": 1, "b": 1, "c": [1]}, {"b": "x", "c": [1, 2]}, {"b": 2, "c": [1, 2, 3]})

    assert not any(evidence.is_noise for evidence in found.values())
    assert set(found) == {"body.a", "body.b", "body.c"}


def test_order_is_a_kind() -> None:
    """The same elements in another order each time; not if the other order stays."""
    found = judged(
        {"a": [1, 2, 3], "b": [1, 2, 3]},
        {"a": [2, 1, 3], "b": [2, 1, 3]},
        {"a": [3, 1, 2], "b": [2, 1, 3]},
    )

    assert found["body.a"].kind == "order"
    assert not found["body.b"].is_noise
    rules = NoiseRules(dict([found["body.a"].entry]))
    assert json_differences(parsed('{"a": [1, 2]}'), parsed('{"a": [2, 1]}'), excuses=rules) == []
    assert json_differences(parsed('{"a": [1, 2]}'), parsed('{"a": [2, 2]}'), excuses=rules)


def test_one_pattern_serves_all_elements_of_an_array() -> None:
    """A path has no index: all its places have to agree."""
    ids = [
        [str(uuid.UUID(int=random.Random(n * 9 + run).getrandbits(128))) for n in range(3)]
        for run in range(3)
    ]

    found = judged(*([{"id": each, "n": 1} for each in run] for run in ids))
    assert [(path, evidence.kind) for path, evidence in found.items()] == [("body.id", "uuid")]

    mixed = judged([{"x": 1}, {"x": "a"}], [{"x": 2}, {"x": "b"}], [{"x": 3}, {"x": "c"}])
    assert not mixed["body.x"].is_noise


def test_without_a_reset_an_unsafe_method_proves_nothing() -> None:
    """What a POST changes by itself is not noise: it is unproven."""
    found = judged({"id": 1}, {"id": 2}, {"id": 3}, proven=False)["body.id"]

    assert (found.kind, found.unproven, found.is_noise) == ("counter", True, False)


@pytest.mark.parametrize("passes", [0, 1])
def test_two_replays_are_the_least(passes: int) -> None:
    """One replay cannot tell a change from noise; times come for each replay or for none."""
    with pytest.raises(OptionError):
        classify([()] * passes)
    with pytest.raises(OptionError):
        classify([(), ()], recorded_at=1.0, replayed_at=[1.0])


def test_evidence_is_explained_with_its_line() -> None:
    """What varies, why it is noise, and what to paste."""
    old, *new = (parsed(json.dumps({"n": n})) for n in (1, 2, 3))
    passes = [json_differences(old, each) for each in new]
    (evidence,) = classify(passes)

    assert explain(passes[0][0], evidence) == (
        "body.n: 1 became 2\n"
        "  it is another and higher number in each run\n"
        "  to keep what stays true of it: body.n: ['^(?P<tta_counter>[0-9]+)$']"
    )


VOLATILE: dict[str, Callable[[random.Random, float, int], Any]] = {
    "id": lambda r, _t, _n: (
        "chatcmpl-" + "".join(r.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789", k=24)) + "7Q"
    ),
    "created": lambda _r, t, _n: int(t),
    "order_id": lambda _r, _t, n: f"ord-{1000 + n}",
    "created_at": lambda _r, t, _n: datetime.fromtimestamp(t, UTC).isoformat(),
    "uuid": lambda r, _t, _n: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "counter": lambda _r, _t, n: 41 + n,
    "elapsed": lambda r, _t, _n: round(r.uniform(0.001, 0.9), 6),
    "score": lambda r, _t, _n: 0.73 + r.uniform(0, 1e-9),
    "etag": lambda r, _t, _n: '"' + f"{r.getrandbits(160):040x}" + '"',
}
STABLE: dict[str, Any] = {
    "birthday": "1999-12-31",
    "released": "2024-02-29T12:00:00Z",
    "epoch": 1_600_000_000,
    "account": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "name": "model-7",
    "price": 9.99,
    "tags": ["b", "a"],
    "idempotency": {"id": 5, "created": "never"},
}


@pytest.mark.parametrize("seed", range(40))
def test_everything_volatile_is_found_and_nothing_stable_is_muted(seed: int) -> None:
    """A corpus of answers: ids, epochs, order numbers, dates, traces, ETags, beside stable ones."""
    chance = random.Random(seed)
    names = sorted(chance.sample(sorted(VOLATILE), 6))
    times = [NOW - 90_000.0, NOW + 0.25, NOW + 1.75]

    def run(number: int) -> Response:
        maker = random.Random(seed * 100 + number)
        body = {name: VOLATILE[name](maker, times[number], number) for name in names}
        body["data"] = [{"object": dict(STABLE), "trace": VOLATILE["uuid"](maker, 0, 0)}] * 2
        body |= STABLE
        head = (
            ("Content-Type", "application/json"),
            ("Location", f"/orders/{1000 + number}"),
            ("X-Trace-Id", f"{maker.getrandbits(128):032x}"),
            ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ("X-Served-At", formatdate(times[number], usegmt=True)),
        )
        return Response(200, headers=head, pieces=(Piece(0, json.dumps(body).encode()),))

    recorded, *replays = map(run, range(3))
    passes = [answer_differences(recorded, replay) for replay in replays]
    found = classify(passes, recorded_at=times[0], replayed_at=times[1:])

    noisy = {evidence.path for evidence in found if evidence.is_noise}
    assert noisy == {f"body.{name}" for name in names} | {
        "body.data.trace",
        "header.Location",
        "header.X-Trace-Id",
        "header.X-Served-At",
    }
    rules = NoiseRules(dict(evidence.entry for evidence in found if evidence.is_noise))
    assert all(answer_differences(recorded, replay, excuses=rules) == [] for replay in replays)
    # Whatever is stable is still compared, one by one.
    for name, value in STABLE.items():
        body = json.loads(replays[0].body)
        body[name] = "changed" if isinstance(value, str) else 77
        broken = Response(
            200, headers=recorded.headers, pieces=(Piece(0, json.dumps(body).encode()),)
        )
        assert [each.path for each in answer_differences(recorded, broken, excuses=rules)] == [
            f"body.{name}"
        ]


@given(st.lists(st.text(max_size=12), min_size=3, max_size=4))
def test_any_pattern_fits_the_values_it_was_made_of(values: Sequence[str]) -> None:
    """Whatever the values are, a pattern that is made matches each of them."""
    import re

    made = typed_pattern(values)
    if made is not None:
        assert all(re.search(made[1], value) for value in values)
        assert len(set(values)) > 1


@given(st.text(max_size=40))
def test_any_text_may_be_asked_for_its_time(text: str) -> None:
    """It is a number of seconds, or none; never an error."""
    found = instant(text)

    assert found is None or isinstance(found, float)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2024-01-01T25:00:00Z",
        "12345",
        "9999999999",
        "0000000000",
        "",
        "12:00",
        "1700000000123.5",
        "Xyz, 99 Abc 2024 10:00:00 GMT",
        "0000-00-00",
        "\u0662\u0660\u0662\u0664-01-01",
    ],
)
def test_what_only_looks_like_a_time_is_none(text: str) -> None:
    """Days that are not in the calendar, and numbers out of range."""
    assert instant(text) is None


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.uuids().map(str) | st.just("same"),
                "n": st.integers(0, 50),
                "at": st.datetimes().map(lambda when: when.isoformat() + "Z"),
                "tags": st.permutations(["a", "b", "c"]),
                "word": st.sampled_from(["x", "y"]),
            }
        ),
        min_size=3,
        max_size=5,
    ),
    st.randoms(),
)
def test_what_is_noise_does_not_depend_on_the_order_of_the_replays(
    bodies: list[Any], chance: random.Random
) -> None:
    """The same replays in another order say the same of each place."""
    first, *others = bodies
    shuffled = list(others)
    chance.shuffle(shuffled)

    before = judged(first, *others)
    after = judged(first, *shuffled)

    # Whether numbers rise is a matter of order; whether they are asserted is not.
    assert before.keys() == after.keys()
    rising = {"counter", "number", "time"}
    for path, evidence in before.items():
        assert evidence.kind == after[path].kind or {evidence.kind, after[path].kind} & rising
