"""What can go wrong, as exceptions: one root, and one class for each thing a caller handles apart.

```text
KeployError                      everything that this package raises on purpose
```
"""

from __future__ import annotations

__all__ = ("KeployError",)


class KeployError(Exception):
    """Root of the errors of this package; its text says what happened, where, and what to do."""
