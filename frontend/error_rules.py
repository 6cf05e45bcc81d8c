"""What each error is over HTTP; `frontend.http.errors` makes the responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from frontend.errors import (
    AssetsUnavailable,
    ClientDisconnected,
    CrossOrigin,
    EngineFailed,
    EngineStalled,
    EngineUnavailable,
    FileDamaged,
    FileMissing,
    FrontendError,
    HeadersTooLarge,
    IdempotencyKeyReused,
    ImageNotFound,
    InvalidApiKey,
    InvalidContentEncoding,
    InvalidHost,
    InvalidImage,
    InvalidJson,
    InvalidMultipart,
    InvalidSignature,
    JobCancelled,
    JobNotFound,
    JobsUnavailable,
    KeysUnavailable,
    MalformedRequest,
    MisdirectedRequest,
    ModelNotReady,
    NotImplementedHere,
    NotPermitted,
    PayloadTooLarge,
    QuotaExceeded,
    RangeNotSatisfiable,
    RateLimited,
    RequestTimeout,
    ServerNotFound,
    ServerStopping,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    TooManyConnections,
    TooManyJobs,
    TooManyUploads,
    UnknownFields,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
    VideoFailed,
    VideoNotFound,
    VideoNotReady,
)
from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    LinkExpired,
    ProviderBilling,
    ProviderBusy,
    ProviderDeadline,
    ProviderKeyRefused,
    ProviderNotConfigured,
    ProviderUnavailable,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.schemas.errors import ErrorType
from protocol.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    PipelineError,
    QueueFull,
)

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left before the answer; HTTP has none"""


@dataclass(frozen=True)
class Rule:
    """What an error is over HTTP."""

    status: int
    type: ErrorType
    code: str
    retry: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


INTERNAL = Rule(500, "server_error", "internal_error")
_RULES: dict[type[Exception], Rule] = {
    InvalidHost: Rule(400, "invalid_request_error", "invalid_host"),
    MisdirectedRequest: Rule(421, "invalid_request_error", "misdirected_request"),
    CrossOrigin: Rule(403, "invalid_request_error", "cross_origin_request"),
    InvalidApiKey: Rule(401, "invalid_request_error", "invalid_api_key", headers={"WWW-Authenticate": "Bearer"}),
    KeysUnavailable: Rule(503, "server_error", "keys_unavailable", retry=True),
    TooManyJobs: Rule(429, "rate_limit_error", "too_many_jobs", retry=True),
    RateLimited: Rule(429, "rate_limit_error", "rate_limit_exceeded", retry=True),
    QuotaExceeded: Rule(429, "rate_limit_error", "insufficient_quota"),  # OpenAI's code
    NotPermitted: Rule(403, "invalid_request_error", "insufficient_permissions"),
    ServerNotFound: Rule(404, "invalid_request_error", "server_not_found"),
    UnknownFields: Rule(422, "invalid_request_error", "unknown_parameter"),
    InvalidImage: Rule(400, "invalid_request_error", "invalid_image"),
    InvalidJson: Rule(400, "invalid_request_error", "invalid_json"),
    InvalidMultipart: Rule(400, "invalid_request_error", "invalid_multipart"),
    VideoNotFound: Rule(404, "invalid_request_error", "video_not_found"),
    ImageNotFound: Rule(404, "invalid_request_error", "image_not_found"),
    JobNotFound: Rule(404, "invalid_request_error", "job_not_found"),
    VideoNotReady: Rule(409, "invalid_request_error", "video_not_ready"),
    VideoFailed: Rule(409, "invalid_request_error", "video_failed"),
    InvalidSignature: Rule(403, "invalid_request_error", "invalid_signature"),
    IdempotencyKeyReused: Rule(422, "invalid_request_error", "idempotency_key_reused"),
    NotImplementedHere: Rule(501, "invalid_request_error", "not_implemented"),
    RangeNotSatisfiable: Rule(416, "invalid_request_error", "range_not_satisfiable"),
    StorageUnavailable: Rule(503, "server_error", "storage_unavailable", retry=True),
    StorageRefused: Rule(503, "server_error", "storage_refused"),
    StorageFull: Rule(507, "server_error", "storage_full"),
    AssetsUnavailable: Rule(502, "server_error", "assets_unavailable", retry=True),
    FileMissing: Rule(404, "invalid_request_error", "video_not_found"),
    FileDamaged: Rule(500, "server_error", "file_damaged"),
    UnsupportedMediaType: Rule(415, "invalid_request_error", "unsupported_media_type"),
    UnsupportedContentEncoding: Rule(
        415,
        "invalid_request_error",
        "unsupported_content_encoding",
        headers={"Accept-Encoding": "gzip, deflate"},  # as RFC 9110 has it, section 15.5.16
    ),
    InvalidContentEncoding: Rule(400, "invalid_request_error", "invalid_content_encoding"),
    PayloadTooLarge: Rule(413, "invalid_request_error", "payload_too_large"),
    MalformedRequest: Rule(400, "invalid_request_error", "malformed_request"),
    HeadersTooLarge: Rule(431, "invalid_request_error", "headers_too_large"),
    RequestTimeout: Rule(408, "invalid_request_error", "request_timeout"),
    TooManyConnections: Rule(503, "server_error", "too_many_connections", retry=True),
    TooManyUploads: Rule(503, "server_error", "too_many_uploads", retry=True),
    JobsUnavailable: Rule(503, "server_error", "jobs_unavailable", retry=True),
    ServerStopping: Rule(503, "server_error", "server_stopping", retry=True),
    ClientDisconnected: Rule(CLIENT_CLOSED_REQUEST, "invalid_request_error", "client_disconnected"),
    ModelNotReady: Rule(503, "server_error", "model_not_ready", retry=True),
    EngineUnavailable: Rule(503, "server_error", "service_unavailable", retry=True),
    EngineStalled: Rule(503, "server_error", "engine_stalled", retry=True),
    InvalidRequest: Rule(400, "invalid_request_error", "unsupported_value"),
    ModelNotFound: Rule(404, "invalid_request_error", "model_not_found"),
    QueueFull: Rule(429, "rate_limit_error", "queue_full", retry=True),
    DeadlineExceeded: Rule(504, "server_error", "deadline_exceeded"),
    Cancelled: Rule(503, "server_error", "cancelled", retry=True),
    JobCancelled: Rule(409, "invalid_request_error", "job_cancelled"),
    ModelFailed: Rule(503, "server_error", "model_failed", retry=True),
    ProviderNotConfigured: Rule(400, "invalid_request_error", "provider_not_configured"),
    RequestRefused: Rule(400, "invalid_request_error", "provider_refused_request"),
    ContentRefused: Rule(400, "invalid_request_error", "content_refused"),
    ProviderKeyRefused: Rule(502, "server_error", "provider_key_refused"),
    ProviderBilling: Rule(502, "server_error", "provider_billing"),
    ProviderBusy: Rule(502, "server_error", "provider_busy", retry=True),
    ProviderUnavailable: Rule(502, "server_error", "provider_unavailable", retry=True),
    GenerationFailed: Rule(502, "server_error", "provider_failed"),
    SubmissionUncertain: Rule(502, "server_error", "submission_uncertain"),
    InvalidAnswer: Rule(502, "server_error", "provider_answer_invalid"),
    LinkExpired: Rule(502, "server_error", "provider_link_expired"),
    ProviderDeadline: Rule(504, "server_error", "provider_deadline_exceeded"),
}
_BY_CODE = {rule.code: kind for kind, rule in _RULES.items() if issubclass(kind, FrontendError | PipelineError)}


def rule_of(error: Exception) -> Rule:
    """What `error` is over HTTP. `INTERNAL` for what no client could have caused: its message is for the log alone."""
    return _RULES.get(type(error), INTERNAL)


def error_of(code: str, message: str, field: str | None) -> Exception:
    """The error that a job's record tells of, to be answered as when it came up."""
    kind = _BY_CODE.get(code, EngineFailed)
    return kind(message, field)


def rule_of_code(code: str) -> Rule:
    """What the error that a job's record tells of is over HTTP."""
    return _RULES.get(_BY_CODE.get(code, EngineFailed), INTERNAL)


def internal_message(request_id: str) -> str:
    """All that a client is told of an `INTERNAL` error."""
    return f"Internal error. Its request id is {request_id}."
