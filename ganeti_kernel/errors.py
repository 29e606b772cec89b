"""The errors that cross a process boundary.

On LUXI and on node calls an error travels as `[class name, [arguments]]`; the class names are
upstream's, so that upstream's clients can decode ours and ours theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final


class GenericError(Exception):
    """Anything this project raises on purpose. The text says what failed, where, what to do."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__


class ConfigurationError(GenericError):
    """The configuration or an option of a command is not usable."""


class ConfigVersionMismatch(ConfigurationError):
    """A `config.data` of a version that is not read. Arguments: expected, actual."""

    def __str__(self) -> str:
        if len(self.args) == 2:
            return f"configuration version {self.args[1]} found, version {self.args[0]} expected"
        return super().__str__()


class ProgrammerError(GenericError):
    """A defect in this project."""


class ParameterError(GenericError):
    """A parameter of a command or of a remote call is wrong."""


class OpPrereqError(GenericError):
    """An operation cannot start. Arguments: text, one of the ECODE_* below."""

    @property
    def code(self) -> str:
        return str(self.args[1]) if len(self.args) > 1 else ECODE_ENVIRON


class OpExecError(GenericError):
    """An operation failed while it ran."""


class OpResultError(GenericError):
    """An operation's result has not the promised type."""


class OpCodeUnknown(GenericError):
    """A job names an opcode that does not exist."""


class ResultValidationError(GenericError):
    """A result has not the promised shape."""


class JobLost(GenericError):
    """The job is not in the queue any more."""


class JobCanceled(GenericError):
    """The job was cancelled while it waited or ran."""


class JobQueueError(GenericError):
    """The job queue refused something."""


class JobQueueDrainError(JobQueueError):
    """The queue is drained and takes no jobs."""


class JobQueueFull(JobQueueError):
    """The queue is full."""


class LockError(GenericError):
    """A lock cannot be had."""


class ReservationError(GenericError):
    """A name, address or number is reserved already."""


class AddressPoolError(GenericError):
    """An address cannot be reserved or released in its network."""


class RemoteError(GenericError):
    """A node call failed on the way or on the node.

    `uncertain`: the request may have got there, and nobody knows whether it was carried out.
    """

    uncertain = False


class MasterReplaced(RemoteError):
    """A node obeys a newer master than the caller."""


class BlockDeviceError(GenericError):
    """A disk cannot be created, activated or removed."""


class HypervisorError(GenericError):
    """A guest cannot be started, stopped or looked at."""


class HooksFailure(GenericError):
    """The hooks could not be run."""


class HooksAbort(HooksFailure):
    """A pre hook refused the operation. Argument: list of [node, script, output]."""


class ResolverError(GenericError):
    """A host name does not resolve. Arguments: host, code, text."""

    def __str__(self) -> str:
        if len(self.args) == 3:
            return f"The given name ({self.args[0]}) does not resolve: {self.args[2]}"
        return super().__str__()


class UnitParseError(GenericError):
    """A size cannot be read."""


class TypeEnforcementError(GenericError):
    """A value has not the type of its parameter."""


class TagError(GenericError):
    """A tag is not valid."""


class StorageError(GenericError):
    """A storage unit cannot be listed or changed."""


class StoreError(GenericError):
    """The store cannot be opened or read, or refuses a transaction."""


class SignatureError(GenericError):
    """A signed message does not verify."""


class CommandError(GenericError):
    """A command failed on this node."""


class QueryFilterParseError(GenericError):
    """A filter is not well formed."""


class ConfdClientError(GenericError):
    """A confd request cannot be sent or answered."""


class LuxiError(GenericError):
    """The master daemon cannot be reached or does not speak the protocol."""


class PluginError(GenericError):
    """A plugin cannot be found, loaded or used. The text names the plugin and what to do."""


class FileStoragePathError(GenericError):
    """A path is not allowed for file storage."""


ECODE_RESOLVER: Final = "resolver_error"
ECODE_NORES: Final = "insufficient_resources"
ECODE_TEMP_NORES: Final = "temp_insufficient_resources"
ECODE_INVAL: Final = "wrong_input"
ECODE_STATE: Final = "wrong_state"
ECODE_NOENT: Final = "unknown_entity"
ECODE_EXISTS: Final = "already_exists"
ECODE_NOTUNIQUE: Final = "resource_not_unique"
ECODE_FAULT: Final = "internal_error"
ECODE_ENVIRON: Final = "environment_error"

_BY_NAME: Final[dict[str, type[GenericError]]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, GenericError)
}


def encode_error(error: BaseException) -> tuple[str, list[Any]]:
    """Return `(class name, arguments)`; an error from elsewhere becomes a GenericError."""
    if isinstance(error, GenericError):
        return type(error).__name__, list(error.args)
    text = str(error) or type(error).__name__
    return "GenericError", [f"{type(error).__name__}: {text}"]


def decode_error(name: str, args: Sequence[Any]) -> GenericError:
    """Rebuild an error; an unknown class name becomes a GenericError that keeps the name."""
    cls = _BY_NAME.get(name)
    if cls is not None:
        return cls(*args)
    return GenericError(f"{name}: {', '.join(str(arg) for arg in args)}")
