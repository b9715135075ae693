"""The code blocks, names, files and gates of the specification of this package, as written.

Blocks stand here word for word. What they leave undefined is supplied around them, and `...` inside
a literal is replaced; what they declare is compared with what there is.
"""

import ast
import inspect
import sys
import textwrap
import tomllib
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import tta_agent_coordination
from tta_agent_coordination import (
    AgentId,
    AgentProxy,
    InMemoryMessageCoordinator,
    MessageMetrics,
    MetricsProtocol,
    NullMetrics,
    RedisMessageCoordinator,
)
from tta_agent_coordination.metrics import MetricsProtocol as Declared

PACKAGE = Path(__file__).resolve().parents[2]
SOURCE = PACKAGE / "src" / "tta_agent_coordination"

SERVERS = pytest.mark.parametrize("client", ["fakeredis", "redis"], indirect=True)

INTERFACES = '''
from abc import ABC, abstractmethod
from .models import AgentId, AgentMessage
from .messaging import MessageResult, MessageSubscription, ReceivedMessage, FailureType

class MessageCoordinator(ABC):
    """Abstract interface for agent message coordination."""

    @abstractmethod
    async def send_message(
        self, sender: AgentId, recipient: AgentId, message: AgentMessage
    ) -> MessageResult:
        """Send a message to a specific agent."""

    @abstractmethod
    async def receive(
        self, agent_id: AgentId, visibility_timeout: int = 5
    ) -> ReceivedMessage | None:
        """Reserve the next available message with visibility timeout."""

    @abstractmethod
    async def ack(self, agent_id: AgentId, token: str) -> bool:
        """Acknowledge successful processing."""

    @abstractmethod
    async def nack(
        self, agent_id: AgentId, token: str,
        failure: FailureType = FailureType.TRANSIENT,
        error: str | None = None
    ) -> bool:
        """Negative-acknowledge with retry/DLQ logic."""

class AgentRegistry(ABC):
    """Abstract interface for agent registration and discovery."""

    @abstractmethod
    def register(self, agent: Agent) -> None:
        """Register an agent."""

    @abstractmethod
    def deregister(self, agent_id: AgentId) -> None:
        """Deregister an agent."""

    @abstractmethod
    async def list_registered(self) -> list[dict[str, Any]]:
        """List all registered agents with liveness status."""
'''

MODELS = '''
from pydantic import BaseModel, Field
from enum import Enum

class MessagePriority(int, Enum):
    """Message priority levels."""
    LOW = 1
    NORMAL = 5
    HIGH = 9

class MessageType(str, Enum):
    """Generic message types."""
    REQUEST = "request"
    RESPONSE = "response"
    EVENT = "event"

class AgentId(BaseModel):
    """Generic agent identifier - NO TTA-specific types."""
    type: str = Field(..., description="Agent type identifier (e.g., 'input_processor')")
    instance: str | None = Field(default=None, description="Optional instance ID")

class AgentMessage(BaseModel):
    """Generic agent message."""
    message_id: str
    sender: AgentId
    recipient: AgentId
    message_type: MessageType
    payload: dict[str, Any] = Field(default_factory=dict)
    priority: MessagePriority = MessagePriority.NORMAL
    timestamp: str | None = None
'''

USAGE = """
from tta_agent_coordination import RedisMessageCoordinator, AgentId, AgentMessage

# Initialize coordinator
coordinator = RedisMessageCoordinator(redis_client, key_prefix="myapp")

# Create generic agent IDs (no TTA-specific types!)
sender = AgentId(type="input_processor", instance="worker-1")
recipient = AgentId(type="world_builder", instance="worker-2")

# Send message
message = AgentMessage(
    message_id="msg-123",
    sender=sender,
    recipient=recipient,
    message_type=MessageType.REQUEST,
    payload={"action": "process", "data": {...}}
)

result = await coordinator.send_message(sender, recipient, message)
"""

AGENT_TYPE = """
class AgentType(str, Enum):
    IPA = "input_processor"
    WBA = "world_builder"
    NGA = "narrative_generator"
"""

AGENT_ID = """
class AgentId(BaseModel):
    type: str  # Any string
"""

METRICS = """
from typing import Protocol

class MetricsProtocol(Protocol):
    def inc_delivered_ok(self, count: int) -> None: ...
    def inc_delivered_error(self, count: int) -> None: ...

class RedisMessageCoordinator:
    def __init__(self, redis, metrics: MetricsProtocol | None = None):
        self.metrics = metrics or NullMetrics()
"""


def declared(block: str, **given: object) -> dict[str, Any]:
    """Run a block of declarations inside the package's namespace; return what it declares."""
    names: dict[str, Any] = {"__package__": "tta_agent_coordination", "Any": Any, **given}
    # A module's annotations are texts there as well: the specification leaves some undefined.
    code = compile(f"from __future__ import annotations\n{block}", "specification", "exec")
    exec(code, names)  # noqa: S102 - the block stands above
    return names


def parameters(function: Any, *, required_only: bool = False) -> list[tuple[str, Any, Any]]:
    """Return names, kinds and defaults."""
    return [
        (one.name, one.kind, one.default)
        for one in inspect.signature(function).parameters.values()
        if not required_only or one.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


@pytest.mark.parametrize("name", ["MessageCoordinator", "AgentRegistry"])
def test_the_interfaces_are_as_specified(name: str) -> None:
    """The same abstract methods, async or not, with the same parameters, in the same order."""
    specified = declared(INTERFACES)[name]
    real = getattr(import_module("tta_agent_coordination.interfaces"), name)

    assert real.__abstractmethods__ == specified.__abstractmethods__
    for method in specified.__abstractmethods__:
        theirs, ours = getattr(specified, method), getattr(real, method)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
        assert parameters(ours) == parameters(theirs)
        assert inspect.signature(ours).return_annotation == (
            inspect.signature(theirs).return_annotation
        )


@pytest.mark.parametrize("method", ["send_message", "receive", "ack", "nack"])
@pytest.mark.parametrize("kind", [RedisMessageCoordinator, InMemoryMessageCoordinator])
def test_coordinators_keep_the_specified_parameters(kind: Any, method: str) -> None:
    """What is more comes by keyword and has a default."""
    specified = declared(INTERFACES)["MessageCoordinator"]
    ours = getattr(kind, method)

    assert parameters(ours, required_only=True) == parameters(getattr(specified, method))
    assert all(
        one.default is not inspect.Parameter.empty
        for one in inspect.signature(ours).parameters.values()
        if one.kind is inspect.Parameter.KEYWORD_ONLY
    )


@pytest.mark.parametrize("name", ["MessagePriority", "MessageType"])
def test_the_enums_are_as_specified(name: str) -> None:
    specified = declared(MODELS)[name]
    real = getattr(tta_agent_coordination, name)

    assert {one.name: one.value for one in real} == {one.name: one.value for one in specified}
    assert issubclass(real, specified.__mro__[1])
    assert issubclass(real, Enum)


@pytest.mark.parametrize("name", ["AgentId", "AgentMessage"])
def test_the_models_are_as_specified(name: str) -> None:
    """The same fields, in the same order, as required, with the same defaults."""
    names = declared(MODELS)
    specified: type[BaseModel] = names[name]
    specified.model_rebuild(_types_namespace=names)
    real: type[BaseModel] = getattr(tta_agent_coordination, name)

    assert issubclass(real, BaseModel)
    assert list(real.model_fields) == list(specified.model_fields)
    for field, theirs in specified.model_fields.items():
        ours = real.model_fields[field]
        assert ours.is_required() == theirs.is_required()
        assert ours.description == theirs.description
        given = theirs.get_default(call_default_factory=True)
        if given is not PydanticUndefined:
            assert ours.get_default(call_default_factory=True) == given


@SERVERS
async def test_the_usage_example_runs(client: Any) -> None:
    body = USAGE.replace("{...}", '{"text": "a dark forest"}')
    code = compile(body, "specification", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {
        "redis_client": client,
        "MessageType": tta_agent_coordination.MessageType,
    }
    await eval(code, names)  # noqa: S307 - the block stands above

    assert names["result"].delivered
    received = await names["coordinator"].receive(names["recipient"])
    assert received.message == names["message"]
    assert await names["coordinator"].ack(names["recipient"], received.token)


def test_an_agent_type_is_any_text() -> None:
    """Also a member of an enum of one's own, as the migration wants it."""
    agent_type = declared(AGENT_TYPE, Enum=Enum)["AgentType"]
    specified = declared(AGENT_ID, BaseModel=BaseModel)["AgentId"]

    for kind in ("anything at all", agent_type.IPA):
        assert AgentId(type=kind).type == specified(type=kind).type == kind
    assert AgentId(type=agent_type.WBA) == AgentId(type="world_builder")
    assert AgentId(type=agent_type.WBA).model_dump_json() == (
        '{"type":"world_builder","instance":null}'
    )


@SERVERS
async def test_metrics_are_optional_and_as_specified(client: Any) -> None:
    names = declared(METRICS, NullMetrics=NullMetrics)
    specified: Any = names["MetricsProtocol"]
    methods = {name for name in dir(specified) if name.startswith("inc_")}

    assert issubclass(Declared, Protocol)  # type: ignore[arg-type]
    assert {name for name in vars(MetricsProtocol) if not name.startswith("_")} == methods
    for name in methods:
        assert parameters(getattr(MetricsProtocol, name)) == parameters(getattr(specified, name))
    mine = MessageMetrics()
    assert isinstance(RedisMessageCoordinator(client).metrics, NullMetrics)
    assert RedisMessageCoordinator(client, metrics=mine).metrics is mine
    assert isinstance(names["RedisMessageCoordinator"](client).metrics, NullMetrics)


def test_the_constructor_takes_client_prefix_and_metrics() -> None:
    names = [name for name, _, _ in parameters(RedisMessageCoordinator)]

    assert names[:2] == ["redis", "key_prefix"]
    assert "metrics" in names
    assert {"redis"} == {
        name
        for name, one in inspect.signature(RedisMessageCoordinator).parameters.items()
        if one.default is inspect.Parameter.empty
    }


@pytest.mark.parametrize(
    "path",
    [
        *("__init__", "interfaces", "models", "messaging", "metrics"),
        *("coordinators/__init__", "coordinators/redis_coordinator"),
        *("registries/__init__", "registries/redis_registry"),
        *("resilience/__init__", "resilience/circuit_breaker", "resilience/retry"),
    ],
)
def test_each_specified_module_is_there(path: str) -> None:
    assert (SOURCE / f"{path}.py").is_file()
    module = ".".join(["tta_agent_coordination", *path.removesuffix("__init__").split("/")])
    assert import_module(module.rstrip(".")).__doc__


@pytest.mark.parametrize(
    "path",
    [
        *("tests/conftest.py", "tests/integration/test_full_coordination.py"),
        *("tests/unit/test_redis_coordinator.py", "tests/unit/test_redis_registry.py"),
        *("tests/unit/test_circuit_breaker.py", "tests/unit/test_retry.py"),
        *("examples/basic_usage.py", "examples/custom_agent_types.py"),
        *("examples/fault_tolerance.py", "pyproject.toml", "README.md", "LICENSE"),
    ],
)
def test_each_specified_file_is_there(path: str) -> None:
    assert (PACKAGE / path).is_file()


@pytest.mark.parametrize("name", ["README", "API", "MIGRATION", "EXAMPLES"])
def test_each_specified_document_is_there(name: str) -> None:
    """In the site of all packages."""
    folder = PACKAGE.parents[1] / "docs" / "packages" / "tta-agent-coordination"
    if not folder.parent.is_dir():
        pytest.skip("the package is tested without the site")
    assert (folder / f"{name}.md").is_file()


@pytest.mark.parametrize(
    "name",
    [
        *("RedisMessageCoordinator", "RedisAgentRegistry", "CircuitBreaker", "retry_with_backoff"),
        *("MessageCoordinator", "AgentRegistry", "AgentProxy", "Agent"),
        *("AgentId", "AgentMessage", "MessageResult", "MessageSubscription", "ReceivedMessage"),
        *("FailureType", "MessagePriority", "MessageType", "MetricsProtocol", "NullMetrics"),
        "MessageMetrics",
    ],
)
def test_each_specified_name_is_exported(name: str) -> None:
    assert name in tta_agent_coordination.__all__
    assert getattr(tta_agent_coordination, name).__doc__


def test_a_proxy_is_abstract() -> None:
    assert AgentProxy.__abstractmethods__ == {"process"}


def test_the_dependencies_are_the_specified_two() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["name"] == "tta-agent-coordination"
    assert project["version"] == "0.1.0"
    assert [one.partition(">=")[0] for one in sorted(project["dependencies"])] == [
        "pydantic",
        "redis",
    ]
    assert "redis>=6" in project["dependencies"]
    assert sys.version_info >= (3, 11)
    assert project["requires-python"] == ">=3.11"  # which includes the specified 3.12


def test_nothing_of_one_application_is_left() -> None:
    """No session managers, no therapy, no agent types: what is excluded is not here."""
    words = ("therap", "narrative", "SessionManager", "WorkflowManager", "Orchestration")
    for path in SOURCE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not [word for word in words if word in text], path


def test_the_blocks_are_whole() -> None:
    """Each can be read as Python; what a test runs is what stands above."""
    for block in (INTERFACES, MODELS, AGENT_TYPE, AGENT_ID, METRICS):
        assert ast.parse(textwrap.dedent(block)).body
