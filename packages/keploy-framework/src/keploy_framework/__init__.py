"""Record API traffic, replay it as tests, serve it as mocks.

It stands alone: the recorder, the replayer and the mock server need no other package of this
project, and no service. Middleware stands in `keploy_framework.asgi` and `keploy_framework.wsgi`,
`replay()` in `keploy_framework.replay`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keploy_framework.config import AppConfig as AppConfig
    from keploy_framework.config import KeployConfig as KeployConfig
    from keploy_framework.config import TestConfig as TestConfig
    from keploy_framework.config import create_default_config as create_default_config
    from keploy_framework.errors import AppStartError as AppStartError
    from keploy_framework.errors import FolderInUseError as FolderInUseError
    from keploy_framework.errors import FormatError as FormatError
    from keploy_framework.errors import IncompleteAnswerError as IncompleteAnswerError
    from keploy_framework.errors import JournalError as JournalError
    from keploy_framework.errors import KeployError as KeployError
    from keploy_framework.errors import ListenError as ListenError
    from keploy_framework.errors import NetworkBlockedError as NetworkBlockedError
    from keploy_framework.errors import OptionError as OptionError
    from keploy_framework.errors import UnrecordedCallError as UnrecordedCallError
    from keploy_framework.matching import Difference as Difference
    from keploy_framework.matching import MatchRules as MatchRules
    from keploy_framework.mock import MockServer as MockServer
    from keploy_framework.noise import NoiseRules as NoiseRules
    from keploy_framework.recording.compact import compact as compact
    from keploy_framework.recording.network import blocked_network as blocked_network
    from keploy_framework.recording.proxy import RecordingProxy as RecordingProxy
    from keploy_framework.recording.recorder import Recorder as Recorder
    from keploy_framework.recording.switch import is_enabled as is_enabled
    from keploy_framework.redact import Finding as Finding
    from keploy_framework.redact import Redaction as Redaction
    from keploy_framework.redact import scan_path as scan_path
    from keploy_framework.results import ResultValidator as ResultValidator
    from keploy_framework.results import TestResults as TestResults
    from keploy_framework.runner import KeployTestRunner as KeployTestRunner
    from keploy_framework.runner import RecordingSession as RecordingSession
    from keploy_framework.runner import record_tests as record_tests
    from keploy_framework.storage.folder import KeployFolder as KeployFolder

__all__ = (
    "AppConfig",
    "AppStartError",
    "Difference",
    "Finding",
    "FolderInUseError",
    "FormatError",
    "IncompleteAnswerError",
    "JournalError",
    "KeployConfig",
    "KeployError",
    "KeployFolder",
    "KeployTestRunner",
    "ListenError",
    "MatchRules",
    "MockServer",
    "NetworkBlockedError",
    "NoiseRules",
    "OptionError",
    "Recorder",
    "RecordingProxy",
    "RecordingSession",
    "Redaction",
    "ResultValidator",
    "TestConfig",
    "TestResults",
    "UnrecordedCallError",
    "__version__",
    "blocked_network",
    "compact",
    "create_default_config",
    "is_enabled",
    "record_tests",
    "scan_path",
)

__version__: str
"""Version of the installed distribution."""

if not TYPE_CHECKING:  # type checkers would take any name for granted
    # In which module a name lives. The modules are loaded when a name is asked for: whoever only
    # wants the recorder should not pay for the reports.
    _HOMES = {
        "AppConfig": "config",
        "AppStartError": "errors",
        "Difference": "matching",
        "Finding": "redact",
        "FolderInUseError": "errors",
        "FormatError": "errors",
        "IncompleteAnswerError": "errors",
        "JournalError": "errors",
        "KeployConfig": "config",
        "KeployError": "errors",
        "KeployFolder": "storage.folder",
        "KeployTestRunner": "runner",
        "ListenError": "errors",
        "MatchRules": "matching",
        "MockServer": "mock",
        "NetworkBlockedError": "errors",
        "NoiseRules": "noise",
        "OptionError": "errors",
        "Recorder": "recording.recorder",
        "RecordingProxy": "recording.proxy",
        "RecordingSession": "runner",
        "Redaction": "redact",
        "ResultValidator": "results",
        "TestConfig": "config",
        "TestResults": "results",
        "UnrecordedCallError": "errors",
        "blocked_network": "recording.network",
        "compact": "recording.compact",
        "create_default_config": "config",
        "is_enabled": "recording.switch",
        "record_tests": "runner",
        "scan_path": "redact",
    }

    def __getattr__(name: str) -> object:
        """Return a public name, imported when first asked for."""
        if name in _HOMES:
            from importlib import import_module  # noqa: PLC0415 - with the first name

            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

        from importlib.metadata import version  # noqa: PLC0415 - 30 ms that an import must not cost

        return version("keploy-framework")

    def __dir__() -> list[str]:
        """List the package's names, loaded or not."""
        return sorted({*globals(), *__all__})
