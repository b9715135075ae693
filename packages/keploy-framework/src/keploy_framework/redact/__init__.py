"""Redaction: no credential reaches the disk, and what stands in its place still matches.

```python
redaction = Redaction.default()
exchange = redaction.exchange(exchange)  # headers, URL, bodies, messages
```
"""

from __future__ import annotations

from keploy_framework.redact.compressed import CannotOpenError
from keploy_framework.redact.placeholders import PLACEHOLDER, Placeholders, is_placeholder
from keploy_framework.redact.redaction import FIELD_LIMIT, Redaction
from keploy_framework.redact.scan import Finding, scan_path, scan_text
from keploy_framework.redact.window import SlidingWindow

__all__ = (
    "FIELD_LIMIT",
    "PLACEHOLDER",
    "CannotOpenError",
    "Finding",
    "Placeholders",
    "Redaction",
    "SlidingWindow",
    "is_placeholder",
    "scan_path",
    "scan_text",
)
