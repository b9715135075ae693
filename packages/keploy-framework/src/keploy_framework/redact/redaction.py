"""What is taken out of exchanges before anything of them is written."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from keploy_framework.model import Omitted, Piece, header_value, header_values
from keploy_framework.redact.compressed import CannotOpenError, closed, encoding_of, is_text, opened
from keploy_framework.redact.echoes import handed_in, note
from keploy_framework.redact.finder import Finder, parameter
from keploy_framework.redact.kinds import Looks
from keploy_framework.redact.names import Names
from keploy_framework.redact.options import own_kind, own_names
from keploy_framework.redact.placeholders import Placeholders, readable
from keploy_framework.redact.spans import Edit, bare_text, cut, decoded, edited
from keploy_framework.redact.window import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from keploy_framework.model import Exchange, Headers, Message, Request, Response
    from keploy_framework.redact.spans import Span

    _Known: TypeAlias = tuple[list[Span], tuple[str, str]]

__all__ = ("FIELD_LIMIT", "Redaction")

FIELD_LIMIT: Final = 1 << 20
"""Up to this many bytes a body is read field by field; beyond, it is searched by pattern."""

_REMEMBERED: Final = 512
_MEMORY: Final = 4096
_SECRETS: Final = 256
# In text that is broken, a placeholder may show what stands beside it as a secret, too. Whoever
# searches what was written must find nothing: it is looked at until there is nothing to find.
_AGAIN: Final = 4
_GZIP: Final = b"\x1f\x8b\x08"


class Redaction:
    """Takes secrets out of exchanges and puts placeholders in their place.

    Equal values get equal placeholders, ``[redacted:<kind>:<ordinal>]``, as long as the object
    lives; which value a placeholder stands for is written nowhere. What is known by its name
    (headers, cookies, fields of JSON, forms, XML) or by its looks (keys of providers, JWTs, private
    keys, passwords in URLs) is a secret; ids, hashes and UUIDs are not. Whatever is none stays
    byte for byte.

    Args:
        headers: Names of more headers that hold a secret.
        fields: Names of more fields, parameters or cookies that hold one.
        patterns: More looks of secrets: a kind (lower-case letters, digits, dashes), and a regular
            expression that finds it; its first group is the secret, if it has one.
        allow: Names of headers, fields and cookies that are left as they are.
        allow_values: Values that are left as they are.

    Raises:
        OptionError: A name is empty, a pattern is none, or it matches the empty text.

    Example:
        >>> redaction = Redaction(fields=["pet"])
        >>> redaction.text('{"pet": "rex", "id": 7}', "application/json")
        '{"pet": "[redacted:secret:1]", "id": 7}'
        >>> redaction.headers((("Authorization", "Bearer abcdef"),))
        (('Authorization', 'Bearer [redacted:bearer:1]'),)
    """

    __slots__ = ("_clean", "_finder", "_placeholders", "_telling")

    def __init__(
        self,
        *,
        headers: Iterable[str] = (),
        fields: Iterable[str] = (),
        patterns: Mapping[str, str] | None = None,
        allow: Iterable[str] = (),
        allow_values: Iterable[str] = (),
    ) -> None:
        names = Names(
            headers=own_names("headers", headers),
            fields=own_names("fields", fields),
            allow=own_names("allow", allow),
        )
        own = tuple(own_kind(kind, text) for kind, text in (patterns or {}).items())
        self._finder = Finder(names, Looks(own), own_names("allow_values", allow_values))
        self._placeholders = Placeholders()
        self._clean: set[tuple[str, str]] = set()  # header lines that hold no secret
        # Header lines that do, the secrets in them, and what is written instead.
        self._telling: dict[tuple[str, str], _Known] = {}

    @classmethod
    def default(cls) -> Redaction:
        """Return a redaction without any additions, with ordinals of its own."""
        return cls()

    @property
    def found(self) -> int:
        """How many different secrets were seen."""
        return len(self._placeholders)

    def start_at(self, ordinal: int) -> None:
        """Give no placeholder an ordinal up to this one any more: other processes have them."""
        self._placeholders.start_at(ordinal)

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return the exchange without its secrets; what holds none is the same object.

        The pieces of the answer stay as many as they were and keep their times. A body that cannot
        be searched becomes `Omitted`. A secret of at least eight characters that stands in the
        request or in the head of the answer is also found where it is repeated in this exchange;
        a token that an earlier exchange had, where a client of the application hands it in.
        """
        seen = handed_in(exchange, self._placeholders)
        asked, answered, failure = exchange.request, exchange.response, exchange.failure
        request, response, messages = asked, answered, exchange.messages
        # Heads come before bodies, which may repeat what stands in them.
        headers = self._head(asked.headers, seen)
        if headers is not asked.headers:
            request = replace(request, headers=headers)
        before = len(seen)
        spans = self._finder.url(request.url, seen)
        note(spans, seen)
        request = self._request(request, seen)
        known = len(seen)
        if response is not None:
            headers = self._head(response.headers, seen)
            trailers = self._head(response.trailers, seen)
            if headers is not response.headers or trailers is not response.trailers:
                response = replace(response, headers=headers, trailers=trailers)
            response = self._response(response, seen)
        if len(seen) > before:
            spans = self._finder.url(request.url, seen)
        if len(seen) > known:  # what was handed out may have been handed in as well
            request = self._request(request, seen)
        if spans:
            request = replace(request, url=self._apply(request.url, spans))
        if failure is not None:
            failure = replace(failure, text=self._plain(failure.text, seen))
        if messages:
            messages = self._messages(messages, seen)
        elif request is asked and response is answered and failure is None:
            return exchange
        return replace(
            exchange, request=request, response=response, failure=failure, messages=messages
        )

    def window(self, headers: Headers) -> SlidingWindow | None:
        """Return what redacts a body longer than `FIELD_LIMIT`; None if it cannot be searched."""
        try:
            if encoding_of(header_values(headers, "content-encoding")):
                return None
        except CannotOpenError:
            return None
        if parameter(header_value(headers, "content-type") or "", "charset").lower()[:5] in {
            "utf-1",
            "utf-3",
        }:
            return None
        content_type = header_value(headers, "content-type") or ""
        return SlidingWindow(lambda text: self._edits(self._finder.looks(text, content_type)))

    def url(self, url: str) -> str:
        """Return a URL without the secrets in its user info, path, query and fragment."""
        return self._apply(url, self._finder.url(url, {}))

    def headers(self, headers: Headers) -> Headers:
        """Return header lines without their secrets; schemes and names of cookies stay."""
        return self._head(headers, {})

    def text(self, text: str, content_type: str = "text/plain") -> str:
        """Return a text without its secrets: a command line, a message, a body."""
        return self._plain(text, {}, content_type)

    def body(self, body: bytes, headers: Headers = ()) -> bytes:
        """Return a whole body without its secrets.

        Raises:
            CannotOpenError: It is compressed in a way that cannot be opened.
        """
        return b"".join(self._pieces((body,), headers, {}))

    def pieces(self, pieces: Sequence[bytes], headers: Headers = ()) -> list[bytes]:
        """Return the pieces of a body without the secrets of the whole; their number stays.

        Raises:
            CannotOpenError: It is compressed in a way that cannot be opened.
        """
        return self._pieces(pieces, headers, {})

    def _request(self, request: Request, seen: dict[str, str]) -> Request:
        if not request.body:
            return request
        try:
            (body,) = self._pieces((request.body,), request.headers, seen)
        except CannotOpenError as error:
            return replace(request, body=b"", omitted=_omitted(request.body, error))
        return replace(request, body=body) if body != request.body else request

    def _response(self, response: Response, seen: dict[str, str]) -> Response:
        if response.reason and (reason := self._plain(response.reason, seen)) != response.reason:
            response = replace(response, reason=reason)
        if not response.pieces:
            return response
        before = [piece.data for piece in response.pieces]
        try:
            after = self._pieces(before, response.headers, seen)
        except CannotOpenError as error:
            return replace(response, pieces=(), omitted=_omitted(b"".join(before), error))
        if after == before:
            return response
        pieces = tuple(
            Piece(old.at, data) for old, data in zip(response.pieces, after, strict=True)
        )
        return replace(response, pieces=pieces)

    def _messages(self, messages: tuple[Message, ...], seen: dict[str, str]) -> tuple[Message, ...]:
        """Redact messages each for itself, then what those of one sender say together."""
        clean = [self._message(message, seen) for message in messages]
        for sender in ("client", "server"):
            places = [
                number
                for number, message in enumerate(clean)
                if message.sender == sender and isinstance(message.data, str)
            ]
            bare = [bare_text(str(clean[number].data)) for number in places]
            shares = self._finder.stream(bare) if len(bare) > 1 else []
            for number, text, spans in zip(places, bare, shares, strict=False):
                if spans:
                    whole = decoded(edited(text, self._edits(spans)).encode("latin-1", "replace"))
                    clean[number] = replace(clean[number], data=whole)
        return tuple(clean)

    def _message(self, message: Message, seen: dict[str, str]) -> Message:
        if isinstance(message.data, str):
            data: str | bytes = self._plain(message.data, seen, "")
        else:
            (data,) = self._pieces((message.data,), (), seen)
        return replace(message, data=data) if data != message.data else message

    def _pieces(
        self,
        pieces: Sequence[bytes],
        headers: Headers,
        seen: dict[str, str],
    ) -> list[bytes]:
        if not any(pieces):
            return list(pieces)
        encoding, content_type, charset = _shape(headers)
        plain = pieces
        if encoding:
            try:
                plain = opened(pieces, encoding)
            except CannotOpenError:
                if not is_text(pieces):
                    raise
                encoding = ""  # it says that it is compressed, and is not: its text is searched
        elif pieces[0].startswith(_GZIP):
            with suppress(CannotOpenError):  # a file that is sent compressed, and says nothing
                plain = opened(pieces, "gzip")
                encoding = "gzip"
        if charset.startswith(("utf-16", "utf-32")):
            after, changed = self._wide(plain, charset, content_type, seen)
        else:
            after, changed = self._searched(plain, content_type, seen)
        if not changed:
            return list(pieces)
        return closed(after, encoding) if encoding else after

    def _searched(
        self, pieces: Sequence[bytes], content_type: str, seen: dict[str, str]
    ) -> tuple[list[bytes], bool]:
        """Redact the text that pieces are together until nothing is found in it.

        What it holds itself is looked for elsewhere, not where it is repeated in itself.
        """
        known = dict(seen)

        def found(text: str) -> list[Edit]:
            find = self._finder.body if len(text) <= FIELD_LIMIT else self._finder.looks
            spans = find(text, content_type, known)
            note(spans, seen)
            return self._edits(spans)

        after, changed = cut(pieces, found)
        more = changed
        for _ in range(_AGAIN):
            if not more:
                break
            after, more = cut(after, found)
        return after, changed

    def _wide(
        self, pieces: Sequence[bytes], charset: str, content_type: str, seen: dict[str, str]
    ) -> tuple[list[bytes], bool]:
        """Redact text of two or four bytes a character; its pieces keep their shares of it."""
        body = b"".join(pieces)
        try:
            text = body.decode(charset)
        except (LookupError, UnicodeError):
            return self._searched(pieces, content_type, seen)
        clean = self._plain(text, seen, content_type)
        if clean == text:
            return list(pieces), False
        whole = clean.encode(charset)
        result: list[bytes] = []
        length = start = 0
        for piece in pieces:
            length += len(piece)
            end = length * len(whole) // len(body)
            result.append(whole[start:end])
            start = end
        return result, True

    def _plain(self, text: str, seen: dict[str, str], content_type: str = "text/plain") -> str:
        data = text.encode("utf-8", "surrogatepass")
        (clean,), changed = self._searched((data,), content_type, seen)
        return decoded(clean) if changed else text

    def _head(self, headers: Headers, seen: dict[str, str]) -> Headers:
        clean = self._clean
        result: list[tuple[str, str]] = []
        changed = False
        for pair in headers:
            name, value = pair
            if pair in clean and not (seen and any([secret in value for secret in seen])):  # noqa: C419 - faster so
                result.append(pair)
                continue
            known = self._telling.get(pair)
            spans = self._finder.header(name, value, seen) if known is None else known[0]
            if spans:
                note(spans, seen)
                if known is None:
                    known = spans, (name, self._apply(value, spans))
                    self._remember(pair, known)
                result.append(known[1])
                changed = True
                continue
            result.append(pair)
            if len(value) <= _REMEMBERED:
                if len(clean) >= _MEMORY:
                    clean.clear()
                clean.add(pair)
        return tuple(result) if changed else headers

    def _remember(self, pair: tuple[str, str], known: _Known) -> None:
        """Keep what became of a header line that clients send again, as they do with cookies.

        Only of headers that are known by their name: of others, it depends on what else was seen.
        """
        if self._finder.names.header(pair[0]) and len(pair[1]) <= _REMEMBERED:
            if len(self._telling) >= _SECRETS:
                self._telling.clear()
            self._telling[pair] = known

    def _apply(self, text: str, spans: Sequence[Span]) -> str:
        """Put placeholders into a head; in the user info of a URL they are percent-encoded."""
        if not spans:
            return text
        edits = self._edits(spans)
        return edited(
            text,
            [
                edit._replace(text=edit.text.replace("[", "%5B").replace("]", "%5D"))
                if text[edit.end : edit.end + 1] == "@" and "://" in text[: edit.start]
                else edit
                for edit in edits
            ],
        )

    def _edits(self, spans: Iterable[Span]) -> list[Edit]:
        edits: list[Edit] = []
        for span in spans:
            new = self._placeholders.of(span.kind, readable(span.value)) if span.value else ""
            edits.append(Edit(span.start, span.end, f'"{new}"' if span.quoted else new))
        return edits


def _shape(headers: Headers) -> tuple[str, str, str]:
    """Return the encoding, the content type and the charset that headers tell."""
    encodings: list[str] = []
    types: list[str] = []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-type":
            types.append(value)
        elif lowered == "content-encoding":
            encodings.append(value)
    content_type = ", ".join(types)
    charset = parameter(content_type, "charset").lower() if content_type else ""
    return (encoding_of(encodings) if encodings else ""), content_type, charset


def _omitted(body: bytes, error: CannotOpenError) -> Omitted:
    return Omitted(len(body), hashlib.sha256(body).hexdigest(), f"not searched: {error}")
