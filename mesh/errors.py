"""The tree of errors.

ElectronsError
├── ConfigError            a setting is wrong; names it, the value and what is allowed
├── StorageError           the data folder cannot be used
│   └── StorageDamaged     what is on disk is not what was written; set it aside, fetch it anew
├── WireError              bytes from a peer do not follow the protocol; the link is closed
├── HandshakeError         a peer could not prove who it is, or belongs to another mesh
├── RecordRejected         a signed record or grant is forged, expired or for another mesh
├── LinkError              no way to the peer, or the way was lost
│   ├── DialError          no address of the peer answered
│   ├── LinkClosed         the link ended; streams on it are gone
│   └── StreamReset        the peer ended one stream early; the link goes on
├── EngineError            an engine failed; the job may be tried elsewhere
│   └── EngineUnavailable  the engine does not answer; its models are withdrawn
├── NoQuorum               too few coordinators are in touch to decide anything
└── JobError               a job is refused or failed, in words for the client
    ├── InvalidRequest     the request is wrong and will be wrong everywhere
    │   ├── ContextTooLong the prompt does not fit the model
    │   └── NotSupported   no engine that holds the model can do what is asked
    ├── ModelNotFound      nobody is known to serve the model
    ├── ModelUnavailable   the model was served lately, by nobody now
    ├── Overloaded         every slot stayed busy until the deadline
    └── JobFailed          every candidate failed
"""

from __future__ import annotations


class ElectronsError(Exception):
    """Root of all errors this project raises on purpose. Its text is fit for a person to read."""


class ConfigError(ElectronsError):
    """A setting is wrong. The text names the setting, the value and what is allowed."""

    def __init__(self, setting: str, value: object, allowed: str) -> None:
        super().__init__(f"{setting}: {value!r} is not usable; {allowed}")
        self.setting = setting
        self.value = value
        self.allowed = allowed


class StorageError(ElectronsError):
    """The data folder cannot be read, written or locked."""


class StorageDamaged(StorageError):
    """What is on disk is not what was written there: it is set aside and never served.

    `path` is the damaged file. What it held can only come from another member.
    """

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"{path} is damaged ({fault}): it must be set aside and fetched anew")
        self.path = path


class WireError(ElectronsError):
    """Bytes from a peer do not follow the protocol."""


class HandshakeError(ElectronsError):
    """The other end did not prove that it is the expected node of this mesh."""


class RecordRejected(ElectronsError):
    """A signed record or grant must not be believed."""


class LinkError(ElectronsError):
    """There is no working way to a peer."""


class DialError(LinkError):
    """No address of the peer answered, or what answered was not the peer."""


class LinkClosed(LinkError):
    """The link ended. Every stream on it is gone; a new link may be dialled.

    `cause`: "clean" (said goodbye), "crash" (ended without), "silence" or "protocol".
    """

    def __init__(self, message: str = "the link is closed", *, cause: str = "clean") -> None:
        super().__init__(message)
        self.cause = cause


class StreamReset(LinkError):
    """The peer ended one stream early. The link survives."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason or f"stream reset with code {code}")
        self.code = code
        self.reason = reason


class EngineError(ElectronsError):
    """An engine failed at a job. The engine object survives; the job may be tried elsewhere."""


class EngineUnavailable(EngineError):
    """The engine does not answer. Its models are withdrawn until it does."""


class NoQuorum(ElectronsError):
    """Too few coordinators are in touch: nothing was decided, and nothing will come of the call."""


class JobError(ElectronsError):
    """A job was refused or failed. `code` is stable and machine-readable."""

    code = "job_failed"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidRequest(JobError):
    """The request is wrong and would be wrong on every node. `param` names the field."""

    code = "invalid_request"


class ContextTooLong(InvalidRequest):
    """Prompt and answer do not fit the model's context."""

    code = "context_length_exceeded"


class NotSupported(InvalidRequest):
    """The model is served, but not with what the request asks for (tools, images, formats)."""

    code = "not_supported"


class ModelNotFound(JobError):
    """Nobody is known to serve the model. `closest` are the most similar known names."""

    code = "model_not_found"

    def __init__(self, message: str, *, closest: tuple[str, ...] = ()) -> None:
        super().__init__(message, param="model")
        self.closest = closest


class ModelUnavailable(JobError):
    """The model was served lately, but by nobody now."""

    code = "model_unavailable"


class Overloaded(JobError):
    """Every slot stayed busy until the deadline. `retry_after` is in whole seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JobFailed(JobError):
    """Every candidate that was tried failed."""
