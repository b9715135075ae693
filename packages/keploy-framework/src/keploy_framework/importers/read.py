"""Reading a recording of another tool: whose it is, and what it holds, without its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keploy_framework.errors import FormatError
from keploy_framework.importers.cassettes import is_cassetter, read_cassette
from keploy_framework.importers.har import read_har
from keploy_framework.importers.postman import read_postman
from keploy_framework.importers.source import in_order, load_fields
from keploy_framework.model import Direction
from keploy_framework.redact import Redaction

if TYPE_CHECKING:
    from keploy_framework.model import Exchange
    from keploy_framework.recording.redaction import Redactor
    from keploy_framework.storage.fields import Fields

__all__ = ("Imported", "read_recordings")

_NATURAL: Final = {
    "cassetter": Direction.OUTBOUND,
    "vcrpy": Direction.OUTBOUND,
    "HAR": Direction.INBOUND,
    "Postman": Direction.INBOUND,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file of another tool held.

    Attributes:
        tool: Whose file it is: `vcrpy`, `cassetter`, `HAR` or `Postman`.
        exchanges: What was asked and answered, in the order of the file, redacted.
        notices: What could not be taken over, one sentence each.
    """

    tool: str
    exchanges: tuple[Exchange, ...]
    notices: tuple[str, ...] = ()


def read_recordings(
    path: Path | str, *, direction: Direction | None = None, redact: Redactor | None = None
) -> Imported:
    """Read a cassette of vcrpy or cassetter, a HAR file, or a Postman collection.

    What kind of file it is is told by what is in it, not by its name.

    Args:
        path: The file, in YAML or JSON.
        direction: What the exchanges become: inbound test cases, or outbound mocks. Default: mocks
            from cassettes, test cases from HAR files and collections.
        redact: Takes the secrets out. Default: the redaction of this package.

    Raises:
        FormatError: It is none of these, or is damaged; the error names the line.

    Example:
        >>> import tempfile
        >>> text = "interactions: [{request: {method: GET, uri: 'http://h/'}, response: "
        >>> text += "{status: {code: 200, message: OK}, body: {string: hello}}}]"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "cassette.yaml"
        ...     _ = file.write_text(text)
        ...     found = read_recordings(file)
        >>> found.tool, found.exchanges[0].response.body
        ('vcrpy', b'hello')
    """
    top = load_fields(Path(path))
    tool = _tool(top)
    notices: list[str] = []
    read = {"HAR": read_har, "Postman": read_postman}.get(tool, read_cassette)
    exchanges = in_order(read(top, direction or _NATURAL[tool], notices))
    redactor: Redactor = redact or Redaction.default()
    return Imported(tool, tuple(map(redactor.exchange, exchanges)), tuple(notices))


def _tool(top: Fields) -> str:
    names = top.names()
    if "log" in names:
        return "HAR"
    if "info" in names and "item" in names:
        return "Postman"
    if "interactions" in names:
        return "cassetter" if is_cassetter(top) else "vcrpy"
    shown = ", ".join(map(str, names[:5])) or "nothing"
    raise FormatError(
        "is no recording that can be imported: cassettes of vcrpy and cassetter (`interactions`), "
        f"HAR (`log`) and Postman collections (`info`, `item`) are; at its top stands {shown:.80}",
        path=top.path,
    )
