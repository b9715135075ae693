"""`keploy.yml`: Keploy's own configuration file, read and written without losing what is in it."""

from __future__ import annotations

from keploy_framework.config.keploy_yml import (
    AppConfig,
    KeployConfig,
    TestConfig,
    create_default_config,
)

__all__ = ("AppConfig", "KeployConfig", "TestConfig", "create_default_config")
