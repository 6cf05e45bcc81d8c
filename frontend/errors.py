"""Every error that a client can see; `frontend.error_rules` says what each is over HTTP.

FrontendError
├── InvalidHost, MisdirectedRequest, CrossOrigin      from where, and for whom, the request is
├── InvalidApiKey, KeysUnavailable                    who sends it
├── TooManyJobs, RateLimited, QuotaExceeded           the limits of its key
├── NotPermitted, ServerNotFound                      what operators do
├── MalformedRequest, HeadersTooLarge, RequestTimeout, UnsupportedMediaType, PayloadTooLarge
├── UnsupportedContentEncoding, InvalidContentEncoding
├── InvalidJson, InvalidMultipart, InvalidImage, UnknownFields
├── VideoNotFound, ImageNotFound, JobNotFound
├── VideoNotReady, VideoFailed, RangeNotSatisfiable
├── InvalidSignature, IdempotencyKeyReused, NotImplementedHere
├── StorageError                                      the files of jobs cannot be kept, or read
│   ├── StorageUnavailable
│   ├── StorageRefused                                waiting does not help
│   ├── StorageFull
│   ├── FileMissing
│   └── FileDamaged
├── AssetsUnavailable
├── TooManyConnections, TooManyUploads, JobsUnavailable, ServerStopping
├── ClientDisconnected                                nobody reads it; for the log
├── ModelNotReady                                     it is still being exported or loaded
├── EngineUnavailable
│   ├── EngineStalled
│   └── ServerLost                                    another server can go on; for `frontend.jobs.patience` alone
├── EngineFailed
└── ProviderError                                     of hosted providers, drawn in `frontend.providers.errors`
protocol.errors.PipelineError                         what a job can end with, drawn there
└── Cancelled
    └── JobCancelled                                  by a client, not by the engine
RequestValidationError                                422 with a code for each kind of fault, see `validation_message`
HTTPException                                         of the router: no such route, no such method
anything else                                         500
"""

from protocol.errors import Cancelled


class FrontendError(Exception):
    """Base of the frontend's own errors.

    Args:
        message: a sentence for the person who made the request.
        field: the request field that it is about, if one is.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidHost(FrontendError):
    """The request does not say in one `Host` header whom it is for."""


class MisdirectedRequest(FrontendError):
    """The request is for a host that this server is not."""


class CrossOrigin(FrontendError):
    """A browser sent the request for a page of an origin that is not allowed."""


class InvalidApiKey(FrontendError):
    """The request has no API key, or none that is taken."""


class KeysUnavailable(FrontendError):
    """The server cannot find out which API keys it takes."""


class TooManyJobs(FrontendError):
    """The request's API key has as many unfinished jobs as it may."""


class RateLimited(FrontendError):
    """The request's API key has sent as many creates within a minute as it may.

    Args:
        retry_after: whole seconds after which the next one is taken.
    """

    def __init__(self, message: str, field: str | None = None, *, retry_after: int = 60) -> None:
        super().__init__(message, field)
        self.retry_after = retry_after


class QuotaExceeded(RateLimited):
    """The jobs of the request's API key have run as long as they may on one day."""


class NotPermitted(FrontendError):
    """The request's API key is not an administrator's."""


class ServerNotFound(FrontendError):
    """The frontend has no Triton server of that name."""


class UnknownFields(FrontendError):
    """The request has fields that the server does not know, and the server is set to refuse them."""


class InvalidImage(FrontendError):
    """An image that cannot be read, or is of a kind that is not taken."""


class InvalidJson(FrontendError):
    """The body is declared as JSON and is not, or nests more deeply than is read here."""


class InvalidMultipart(FrontendError):
    """The body is declared as multipart/form-data and is not, has too much of something, or text that is not UTF-8."""


class VideoNotFound(FrontendError):
    """The video is not found or has expired."""


class ImageNotFound(FrontendError):
    """The image is not found or has expired."""


class JobNotFound(FrontendError):
    """The job, of whatever kind, is not found or has expired."""


class VideoNotReady(FrontendError):
    """The video has no files yet."""


class VideoFailed(FrontendError):
    """The video failed, so it has no files."""


class InvalidSignature(FrontendError):
    """The signature of a URL is not this server's, or has expired."""


class IdempotencyKeyReused(FrontendError):
    """The same `Idempotency-Key` came with another request before."""


class NotImplementedHere(FrontendError):
    """A route of OpenAI's that no served model can do."""


class RangeNotSatisfiable(FrontendError):
    """The part of a file that is asked for begins behind its end."""


class StorageError(FrontendError):
    """Base of what a storage of files raises."""


class StorageUnavailable(StorageError):
    """The storage cannot be reached, or does not work; the message is the reason."""


class StorageRefused(StorageError):
    """The storage refuses this server's keys, or has no such bucket: somebody has to change its configuration."""


class StorageFull(StorageError):
    """There is no space for a file."""


class AssetsUnavailable(FrontendError):
    """A video was made, and its copy for good could not be stored."""


class FileMissing(StorageError):
    """The file is not in the storage any more."""


class FileDamaged(StorageError):
    """What is in the storage is not what was put there."""


class UnsupportedMediaType(FrontendError):
    """The body is declared as something that the route does not read."""


class UnsupportedContentEncoding(FrontendError):
    """The body is encoded in a way that the server does not decode."""


class InvalidContentEncoding(FrontendError):
    """The body is declared as encoded in some way, and is not, or not to its end."""


class PayloadTooLarge(FrontendError):
    """The body is larger than the server takes."""


class MalformedRequest(FrontendError):
    """What came is not HTTP/1.1."""


class HeadersTooLarge(FrontendError):
    """The request line and the headers are larger than the server takes."""


class RequestTimeout(FrontendError):
    """The client took too long to send its request."""


class TooManyConnections(FrontendError):
    """Every connection that the server takes is at work."""


class TooManyUploads(FrontendError):
    """The request bodies of others fill the memory that is set aside for them."""


class ServerStopping(FrontendError):
    """The server was told to stop before the request was done."""


class ClientDisconnected(FrontendError):
    """The client left before its answer was ready."""


class JobsUnavailable(FrontendError):
    """The server cannot keep a job, so it does not take it."""


class ModelNotReady(FrontendError):
    """The model is being exported or loaded."""


class EngineUnavailable(FrontendError):
    """Triton or one of its models cannot be reached; the message is the reason."""


class EngineStalled(EngineUnavailable):
    """`generate` accepted a job and then stopped talking."""


class ServerLost(EngineUnavailable):
    """The server that a job ran on, or its model there, was lost, and another one can go on.

    Args:
        loss: what has ended the job there.
    """

    def __init__(self, message: str, field: str | None = None, *, loss: Exception | None = None) -> None:
        super().__init__(message, field)
        self.loss = loss or EngineUnavailable(message, field)


class EngineFailed(FrontendError):
    """`generate` answered with something that its contract does not allow. The message is for the log only."""


class JobCancelled(Cancelled):
    """Somebody has stopped or deleted the job."""
