"""Recordings of other tools, read as exchanges: vcrpy, cassetter, HAR, Postman.

```python
found = read_recordings("tests/cassettes/test_login.yaml")
store_exchanges("keploy", found.exchanges, test_set="login")
```
"""

from __future__ import annotations

from keploy_framework.importers.read import Imported, read_recordings
from keploy_framework.importers.store import store_exchanges

__all__ = ("Imported", "read_recordings", "store_exchanges")
