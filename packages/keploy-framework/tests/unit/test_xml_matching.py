"""XML is compared by its elements, and told apart from what only looks like it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keploy_framework.matching import SameSecrets, body_differences, body_kind
from keploy_framework.matching.json_walk import JSONRules
from keploy_framework.matching.xml_walk import xml_differences, xml_tree

XML = "application/xml"


@pytest.mark.parametrize("media", ["application/xml", "text/xml; charset=utf-8", "image/svg+xml"])
def test_a_content_type_says_that_it_is_xml(media: str) -> None:
    """The two names, and every type that ends in it."""
    assert body_kind(media, b"<a/>") == "xml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<a><n>1</n></a>", "<a><n>2</n></a>", ["body.a.n: '1' became '2'"]),
        ("<a><n>1</n></a>", "<a></a>", ["body.a.n: missing, was 'n'"]),
        ("<a></a>", "<a><n>1</n></a>", ["body.a.n: added, 'n'"]),
        ("<a><n/><n/></a>", "<a><n/></a>", ["body.a.n: 2 elements became 1"]),
        ("<a><n>1</n><n>2</n></a>", "<a><n>1</n><n>3</n></a>", ["body.a.n[1]: '2' became '3'"]),
        ("<a><n>1</n><n>2</n></a>", "<a><n>2</n><n>1</n></a>",
         ["body.a: the same elements in another order"]),
        ("<a><b/><c/></a>", "<a><c/><b/></a>", ["body.a: the same elements in another order"]),
        ('<a k="1"/>', '<a k="2"/>', ["body.a.@k: '1' became '2'"]),
        ('<a k="1"/>', "<a/>", ["body.a.@k: missing, was '1'"]),
        ("<a/>", '<a k="1"/>', ["body.a.@k: added, '1'"]),
        ("<a/>", "<b/>", ["body, root: 'a' became 'b'"]),
        ("<a>x<b/>y</a>", "<a>x<b/>z</a>", ["body.a.b, text behind it: 'y' became 'z'"]),
        ("<a>\n <b/>\n</a>", "<a><b/></a>", []),
        ('<a j="1" k="2"/>', "<a k='2' j='1'></a>", []),
        ('<D:a xmlns:D="DAV:"/>', '<ns0:a xmlns:ns0="DAV:"/>', []),
        ("<a><!-- now --></a>", "<a/>", []),
    ],
)  # fmt: skip
def test_elements_attributes_and_texts_count(old: str, new: str, words: list[str]) -> None:
    """Paths have names without prefixes; white space between elements does not count."""
    found = body_differences(old.encode(), new.encode(), content_type=XML)

    assert [str(each) for each in found] == words


@pytest.mark.parametrize("body", ["<a>", "no xml", "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"])
def test_what_is_no_plain_document_is_compared_as_text(body: str) -> None:
    """A document type may say anything of its entities."""
    assert xml_tree(body.encode()) is None
    (found,) = body_differences(body.encode(), b"<a>other</a>", content_type=XML)

    assert found.path == "body.text"


def test_secrets_stand_for_each_other() -> None:
    """A placeholder is answered by another one, always by the same."""
    old = b"<a><k>[redacted:token:1]</k><k>[redacted:token:1]</k></a>"
    same = b"<a><k>[redacted:token:5]</k><k>[redacted:token:5]</k></a>"
    other = b"<a><k>[redacted:token:5]</k><k>[redacted:token:6]</k></a>"

    assert not body_differences(old, same, content_type=XML, secrets=SameSecrets())
    assert body_differences(old, other, content_type=XML, secrets=SameSecrets())


def test_a_schema_has_no_values() -> None:
    """Elements and attributes count, what they say does not."""
    rules = JSONRules(schema_only=True)
    old, new = b'<a k="1"><n>1</n></a>', b'<a k="2"><n>2</n></a>'

    assert not body_differences(old, new, content_type=XML, rules=rules)
    assert body_differences(old, b"<a><n>1</n></a>", content_type=XML, rules=rules)


def _leaf(tag: str, text: str) -> str:
    return f"<{tag}>{text}</{tag}>"


def _branch(tag: str, children: list[str]) -> str:
    return f"<{tag}>{''.join(children)}</{tag}>"


TAGS = st.sampled_from("abc")
TREES = st.recursive(
    st.builds(_leaf, TAGS, st.text("xyz 12", max_size=4)),
    lambda inner: st.builds(_branch, TAGS, st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(TREES, TREES)
def test_documents_differ_exactly_if_they_are_not_the_same(old: str, new: str) -> None:
    """No difference is overlooked, none is made up."""
    a, b = xml_tree(old.encode()), xml_tree(new.encode())
    assert a is not None
    assert b is not None

    def told(text: str) -> str:
        tree = ET.fromstring(text)  # noqa: S314 - made here
        for element in tree.iter():
            element.text = element.text if (element.text or "").strip() else None
        return ET.tostring(tree, encoding="unicode")

    assert bool(list(xml_differences(a, b))) == (told(old) != told(new))
