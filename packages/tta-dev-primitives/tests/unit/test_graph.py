"""The structure of a workflow as data, and the pictures made from it."""

from __future__ import annotations

import functools
import json
import re
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_dev_primitives import Batch, Conditional, Loop, Parallel, Router, Sequential, Switch, step
from tta_dev_primitives.core.graph import describe, draw
from tta_dev_primitives.core.graph.layout import clipped, lay_out, width_of
from tta_dev_primitives.core.wrapper import Wrapper
from tta_dev_primitives.errors import CompositionError, ConfigurationError

if TYPE_CHECKING:
    from tta_dev_primitives import WorkflowContext, WorkflowPrimitive
    from tta_dev_primitives.core.graph.layout import Block

SVG = "{http://www.w3.org/2000/svg}"


async def load(question: str) -> list[str]:
    """Load the documents.

    All of them.
    """
    return [question]


def clean(docs: list[str]) -> list[str]:
    return docs


def as_text(found: object) -> str:
    return str(found)


class Boxed(Wrapper[Any, Any]):
    """Wraps steps: the first is meant, the others stand in for it."""

    def __init__(self, *steps: Any) -> None:
        self._steps = tuple(step(s) for s in steps)

    @property
    def edge_labels(self) -> tuple[str | None, ...]:
        return (None, *("on error",) * (len(self._steps) - 1))


def workflow() -> WorkflowPrimitive[Any, Any]:
    """One workflow with a node of every kind."""
    return (
        step(load)
        >> Batch(str.strip, max_concurrency=4, name="prepare")
        >> Parallel({"keyword": clean, "meaning": step(clean) >> clean}, name="retrieve")
        >> as_text
        >> Conditional(bool, str.strip)
        >> Router({"fast": str.lower, "careful": Boxed(str.title, str.upper)}, default_route="fast")
        >> Loop(str.strip, until=bool, max_iterations=20)
        >> Switch(len, {"a": str.upper, '"<b>&': str.lower}, str.title)
    ).named("answer")


def same(value: object) -> object:
    return value


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=4)
    return st.one_of(
        several.map(lambda steps: Sequential(steps, name="chain")),
        several.map(Sequential),
        several.map(Parallel),
        several.map(lambda steps: Parallel({f"k{i}": s for i, s in enumerate(steps)})),
        inner.map(lambda s: Conditional(bool, s)),
        several.map(lambda steps: Switch(len, dict(enumerate(steps)))),
        inner.map(lambda s: Loop(s, until=bool, max_iterations=3)),
        several.map(lambda steps: Boxed(*steps)),
    )


# Steps without annotations, so that any fits any other; then any nesting of combinators.
LEAVES: st.SearchStrategy[Any] = st.sampled_from(["a", "b", "ü_1"]).map(
    lambda name: step(same, name=name)
)
WORKFLOWS: st.SearchStrategy[Any] = st.recursive(LEAVES, _nested, max_leaves=12)


# --- describe -----------------------------------------------------------------------------------


def test_a_description_tells_name_type_kind_and_annotations_of_a_function() -> None:
    """A leaf is described from its signature and docstring."""
    about = describe(load)
    assert (about.name, about.path, about.type, about.kind) == ("load", "load", "function", "leaf")
    assert (about.input, about.output) == ("str", "list[str]")
    assert about.doc == "Load the documents."
    assert about.label is None
    assert about.children == ()


def test_a_description_has_the_paths_that_walk_gives() -> None:
    """Paths are spelled as everywhere else, in the same order."""
    whole = workflow()
    assert [node.path for node in describe(whole).walk()] == [path for path, _ in whole.walk()]


def test_labels_come_from_the_composite_and_only_where_it_says_something() -> None:
    """A chain labels nothing; a choice, a dict and a loop do."""
    retrieve, router = describe(workflow()).children[2], describe(workflow()).children[5]
    assert [child.label for child in describe(workflow()).children] == [None] * 8
    assert [child.label for child in retrieve.children] == ["keyword", "meaning"]
    assert [child.label for child in router.children] == ["fast", "careful"]
    assert describe(workflow()).children[6].children[0].label == "at most 20 times"


def test_labels_are_padded_where_a_composite_names_too_few() -> None:
    """A subclass that labels only some of its steps is described, not refused."""

    class Odd(Boxed):
        @property
        def edge_labels(self) -> tuple[str | None, ...]:
            return ("only one",)

    assert [c.label for c in describe(Odd(len, str)).children] == ["only one", None]


def test_the_docstring_is_that_of_the_function_behind_a_partial() -> None:
    """functools.partial hides a function, but not what its author wrote."""
    assert describe(functools.partial(load, "x")).doc == "Load the documents."


def test_a_function_without_a_docstring_has_none() -> None:
    """What nobody wrote is None, not the text of some base class."""
    assert describe(same).doc is None


def test_type_variables_that_nothing_fills_are_shown_as_any() -> None:
    """A composite that says nothing of its types does not show the names of type variables."""
    about = describe(Conditional(bool, str.upper))
    assert (about.input, about.output) == ("Any", "Any")


def test_a_conditional_without_a_second_step_passes_through() -> None:
    """The way around the one step is part of the structure."""
    assert describe(Conditional(bool, str.upper)).passes_through
    assert not describe(Conditional(bool, str.upper, str.lower)).passes_through


def test_what_is_no_step_cannot_be_described() -> None:
    """The error names the culprit."""
    with pytest.raises(CompositionError, match=r"what is described must be .* not 3"):
        describe(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(WORKFLOWS)
def test_a_description_survives_json(whole: WorkflowPrimitive[Any, Any]) -> None:
    """to_dict is plain data and loses nothing."""
    about = describe(whole)
    data = json.loads(json.dumps(about.to_dict()))
    stack = [(about, data)]
    while stack:
        node, copy = stack.pop()
        inside = copy.pop("children")
        assert node.facts == copy
        stack.extend(zip(node.children, inside, strict=True))


@given(WORKFLOWS, WORKFLOWS)
def test_descriptions_are_equal_exactly_when_their_data_is(
    one: WorkflowPrimitive[Any, Any], other: WorkflowPrimitive[Any, Any]
) -> None:
    """Equality is by value, and equal descriptions have one hash."""
    left, right = describe(one), describe(other)
    assert (left == right) == (left.to_dict() == right.to_dict())
    assert left == describe(one)
    assert hash(left) == hash(describe(one))


def test_a_description_is_not_equal_to_something_else() -> None:
    """Comparing with a foreign object is False, not an error."""
    assert describe(load) != "load"


def test_the_repr_of_a_description_is_one_short_line() -> None:
    """A deep workflow has a repr that a debugger can show."""
    assert repr(describe(workflow())).startswith("<Description 'answer': sequence, str -> ")
    assert "8 children" in repr(describe(workflow()))


# --- the tree -----------------------------------------------------------------------------------


def test_the_tree_shows_every_node_on_its_own_line() -> None:
    """The picture for a terminal, whole."""
    whole = step(load) >> Parallel({"a": clean, "clean": clean}, name="both")
    assert draw(whole.named("answer")).splitlines() == [
        "answer  (sequential)  str → dict",
        "├── load  str → list[str]",
        "└── both  (parallel)  list[str] → dict",
        "    ├── a: clean  list[str] → list[str]",
        "    └── clean  list[str] → list[str]",
    ]


def test_a_key_with_a_line_break_stays_on_its_line() -> None:
    """What cannot be printed is replaced, so that one node is one line."""
    tree = draw(Switch(len, {"a\nb\x1b[31m": str.upper}))
    assert len(tree.splitlines()) == 2
    assert "\x1b" not in tree


@given(WORKFLOWS)
def test_the_tree_has_as_many_lines_as_the_workflow_has_nodes(
    whole: WorkflowPrimitive[Any, Any],
) -> None:
    """No node is lost or shown twice."""
    assert len(whole.draw("tree").split("\n")) == sum(1 for _ in whole.walk())


# --- mermaid ------------------------------------------------------------------------------------

NODE = re.compile(r'^ +(n\d+)(\["|\{"|\{\{"|\(\("|\[/")([^"]+)("\]|"\}|"\}\}|"\)\)|"/\]):::(\w+)$')
EDGE = re.compile(r'^    (n\d+) (-->|-\.->)(?:\|"([^"]+)"\|)? (n\d+)$')
GROUP = re.compile(r'^ +subgraph g\d+\["[^"]+"\]$')
STYLE = re.compile(r"^    classDef (\w+) fill:#\w{6},stroke:#\w{6},color:#\w{6}$")


def read_mermaid(text: str) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """Read a flowchart with a grammar that knows only the forms that we mean to write."""
    head, *lines = text.split("\n")
    assert head == "flowchart TD"
    nodes: dict[str, str] = {}
    edges: list[tuple[str, str, str]] = []
    used: set[str] = set()
    defined: set[str] = set()
    depth = 0
    for line in lines:
        if found := NODE.match(line):
            assert found[1] not in nodes
            nodes[found[1]] = found[3]
            used.add(found[5])
        elif found := EDGE.match(line):
            edges.append((found[1], found[3] or "", found[4]))
        elif found := STYLE.match(line):
            defined.add(found[1])
        elif GROUP.match(line):
            depth += 1
        else:
            assert line.strip() == "end", line
            depth -= 1
            assert depth >= 0
    assert depth == 0
    assert used == defined
    assert all(a in nodes and b in nodes for a, _, b in edges)
    return nodes, edges


def test_a_chain_is_drawn_as_edges() -> None:
    """Sequences are edges from step to step."""
    nodes, edges = read_mermaid(draw(step(load) >> clean >> clean, "mermaid"))
    assert list(nodes.values()) == ["load", "clean", "clean"]
    assert edges == [("n0", "", "n1"), ("n1", "", "n2")]


def test_branches_part_and_meet() -> None:
    """A fan-out has a node where branches part and one where they meet."""
    nodes, edges = read_mermaid(draw(Parallel({"a": str.upper, "b": len}), "mermaid"))
    assert list(nodes.values()) == ["parallel", "upper", "len", "join"]
    assert edges == [
        ("n0", "a", "n1"),
        ("n0", "b", "n2"),
        ("n1", "", "n3"),
        ("n2", "", "n3"),
    ]


def test_a_choice_labels_its_ways_and_shows_the_way_around() -> None:
    """What a condition leads to stands on the edges, with the way past a missing step."""
    _, edges = read_mermaid(draw(step(str) >> Conditional(bool, str.upper) >> len, "mermaid"))
    assert edges == [
        ("n1", "true", "n2"),
        ("n0", "", "n1"),
        ("n2", "", "n3"),
        ("n1", "false", "n3"),
    ]


def test_a_loop_leads_back_with_its_bound() -> None:
    """The way back is an edge that says how often."""
    _, edges = read_mermaid(
        draw(Loop(step(str.strip) >> str.lower, until=len, max_iterations=3), "mermaid")
    )
    assert edges == [("n1", "", "n2"), ("n2", "at most 3 times", "n1")]


def test_what_stands_in_for_a_step_is_reached_by_dashed_edges() -> None:
    """A wrapper of several steps goes on to the next from the one before it."""
    text = draw(Boxed(str.upper, str.lower) >> len, "mermaid")
    assert 'n1 -.->|"on error"| n2' in text
    _, edges = read_mermaid(text)
    assert {("n1", "", "n3"), ("n2", "", "n3")} <= set(edges)


@pytest.mark.parametrize(
    "key", ['"', "end", "a|b", "%%{init}%%", "`x`", "$$x$$", "a;b", "#35;", "<b>&", "\n", "click"]
)
def test_labels_hold_nothing_that_mermaid_would_read(key: str) -> None:
    """Any text between quotes is safe there."""
    text = draw(Switch(len, {key: str.upper, "x": str.lower}), "mermaid")
    _, edges = read_mermaid(text)
    shown = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), edges[0][1])
    assert shown == key
    assert not set('`%$"|<>&;#') & set(re.sub(r"#\d+;", "", edges[0][1]))


@given(WORKFLOWS)
def test_every_flowchart_is_connected_and_well_formed(
    whole: WorkflowPrimitive[Any, Any],
) -> None:
    """From the first node every other is reached, and there is a node per leaf at least."""
    nodes, edges = read_mermaid(whole.draw("mermaid"))
    onward: dict[str, list[str]] = {}
    for source, _, target in edges:
        onward.setdefault(source, []).append(target)
    reached: set[str] = set()
    stack = [next(iter(nodes))]
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += onward.get(node, ())
    assert reached == set(nodes)
    assert len(nodes) >= sum(1 for _, node in whole.walk() if not node.nodes)


# --- svg ----------------------------------------------------------------------------------------


def test_the_picture_is_an_image_with_a_title_and_a_description() -> None:
    """Whoever cannot see it is told what it shows."""
    root = ET.fromstring(draw(workflow(), "svg"))  # noqa: S314 - our own text
    assert root.get("role") == "img"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert title.text == "Workflow answer"
    assert desc is not None
    assert "Takes str" in (desc.text or "")


def test_the_picture_stands_alone() -> None:
    """No script, no font, no link, no image from elsewhere."""
    text = draw(workflow(), "svg")
    for foreign in ("script", "href", "url(", "@import", "foreignObject"):
        assert foreign not in text
    assert text.count("http") == 1  # the namespace


def test_the_style_of_the_picture_is_only_its_own() -> None:
    """Put into a page as it is, it changes nothing else there and takes no id."""
    root = ET.fromstring(draw(workflow(), "svg"))  # noqa: S314 - our own text
    style = root.findtext(f"{SVG}style") or ""
    selectors = [s for rule in style.split("}")[:-1] for s in rule.partition("{")[0].split(",")]
    assert root.get("class") == "tta"
    assert len(selectors) > 10
    assert all(selector.strip().startswith(".tta ") for selector in selectors)
    assert not any(node.get("id") for node in root.iter())


def test_every_text_of_the_picture_has_a_background_of_its_own() -> None:
    """It is read on light and dark pages alike, so no text may lie on the page itself."""
    root = ET.fromstring(draw(workflow(), "svg"))  # noqa: S314 - our own text
    groups = [g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}text") is not None]
    texts = sum(len(g.findall(f"{SVG}text")) for g in groups)
    assert texts == len(list(root.iter(f"{SVG}text")))
    assert all(g.find(f"{SVG}rect") is not None or g.find(f"{SVG}path") is not None for g in groups)


@given(st.text(min_size=1))
def test_any_key_gives_valid_xml(key: str) -> None:
    """Text is escaped, and what XML cannot hold is replaced."""
    ET.fromstring(draw(Switch(len, {key: str.upper}), "svg"))  # noqa: S314 - our own text


def _overlap(one: Block, other: Block) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


@given(WORKFLOWS)
def test_blocks_lie_inside_their_parents_and_beside_each_other(
    whole: WorkflowPrimitive[Any, Any],
) -> None:
    """The layout covers nothing and cuts nothing off."""
    slack = 1e-6
    stack = [lay_out(describe(whole))]
    while stack:
        block = stack.pop()
        for number, child in enumerate(block.blocks):
            assert child.x >= block.x - slack
            assert child.y >= block.y - slack
            assert child.x + child.width <= block.x + block.width + slack
            assert child.y + child.height <= block.y + block.height + slack
            assert not any(_overlap(child, other) for other in block.blocks[number + 1 :])
            if block.form == "stack":
                assert abs(child.x + child.axis - block.x - block.axis) < slack
        stack += block.blocks


def test_long_names_are_shortened_in_the_picture_but_not_lost() -> None:
    """A box stays readable; the whole name is in its tooltip."""
    name = "n" * 100
    text = draw(step(str.upper, name=name), "svg")
    assert f">{clipped(name)}</text>" in text
    assert f"<title>{name}" in text


def test_wide_characters_count_as_wide() -> None:
    """A name in another script gets a box that holds it."""
    assert width_of("漢字", 10) > width_of("il", 10)
    assert width_of("e\u0301", 10) == width_of("e", 10)


# --- all pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["tree", "mermaid", "svg"])
def test_the_same_workflow_gives_the_same_picture(style: Any) -> None:
    """A picture that is kept in a repository changes only with the workflow."""
    assert draw(workflow(), style) == draw(workflow(), style)
    assert draw(describe(workflow()), style) == workflow().draw(style)


@pytest.mark.parametrize("style", ["tree", "mermaid", "svg"])
def test_five_hundred_levels_can_be_drawn(style: Any) -> None:
    """Nothing here recurses with the nesting."""
    whole: WorkflowPrimitive[Any, Any] = step(same)
    for level in range(500):
        if level % 3 == 0:
            whole = Loop(whole, until=bool, max_iterations=2)
        else:
            whole = Parallel([whole, len]) if level % 3 == 1 else Conditional(bool, whole)
    assert draw(whole, style)
    assert describe(whole) == describe(whole)
    describe(whole).to_dict()


@pytest.mark.parametrize("style", ["tree", "mermaid", "svg"])
def test_the_cost_of_a_picture_grows_with_the_number_of_steps_only(style: Any) -> None:
    """Ten times the steps need about ten times the calls, counted rather than timed."""

    def calls_for(count: int) -> int:
        whole = Sequential([step(same, name="s")] * count)
        calls = 0

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count_call)
        try:
            draw(whole, style)
        finally:
            sys.setprofile(None)
        return calls

    calls_for(1)  # loads what is loaded once
    assert calls_for(2000) < 12 * calls_for(200)


def test_a_picture_with_ten_thousand_steps_is_whole() -> None:
    """No step is left out for being one of many."""
    whole = Sequential([step(same, name="s")] * 10_000)
    assert len(draw(whole).split("\n")) == 10_001
    assert draw(whole, "mermaid").count("-->") == 9999


def test_an_unknown_style_is_an_error_that_lists_the_styles() -> None:
    """The message says what there is."""
    with pytest.raises(ConfigurationError, match=r"no style 'png'.*'tree', 'mermaid' and 'svg'"):
        draw(load, "png")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_drawing_runs_nothing() -> None:
    """A workflow is looked at, not executed."""
    calls: list[object] = []

    async def record(context: WorkflowContext, value: object) -> object:
        calls.append(value)
        return value

    for style in ("tree", "mermaid", "svg"):
        (step(record) >> Loop(record, until=bool, max_iterations=2)).draw(style)
    assert calls == []


def test_an_object_that_has_every_attribute_is_drawn() -> None:
    """A mock answers to `func` without end."""
    from unittest.mock import Mock

    assert "mock" in draw(step(Mock(return_value=1)), "tree").lower()
