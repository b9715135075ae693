"""The `curl` text of a test case: for people to copy; nothing reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("curl_command",)


def curl_command(method: str, url: str, headers: Mapping[str, str | bytes], body: str) -> str:
    r"""Return the command, in the form that Keploy writes.

    >>> print(curl_command("POST", "http://localhost/", {"Accept": "*/*"}, "it's"))
    curl --request POST \
      --url http://localhost/ \
      --header 'Accept: */*' \
      --data 'it'\''s'
    """
    lines = [f"curl --request {method}", f"  --url {_shell(url, always=False)}"]
    for name, value in headers.items():
        if name.lower() == "content-length":
            continue
        text = value if isinstance(value, str) else value.decode("utf-8", "replace")
        lines.append(f"  --header {_shell(f'{name}: {text}')}")
    if body:
        lines.append(f"  --data {_shell(body)}")
    return " \\\n".join(lines)


def _shell(text: str, *, always: bool = True) -> str:
    """Quote for a shell; a URL only where it needs it."""
    if not always and not set(text) & set(" &;|<>()$`\\\"'*?[]#~!{}"):
        return text
    return "'" + text.replace("'", "'\\''") + "'"
