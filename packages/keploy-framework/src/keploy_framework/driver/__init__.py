"""Drive the Keploy binary where it is installed: this package needs it for nothing."""

from __future__ import annotations

from keploy_framework.driver.binary import Binary, find_binary
from keploy_framework.driver.keploy import BinaryRun, KeployBinary

__all__ = ("Binary", "BinaryRun", "KeployBinary", "find_binary")
