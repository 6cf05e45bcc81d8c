"""What can go wrong with a hosted provider.

ProviderError
├── ProviderNotConfigured      this server has no key for it
├── ProviderKeyRefused         its key, or what the key may do
├── ProviderBilling            the account has no money, or no units, left
├── ProviderBusy               too many requests, or jobs, at a time; waiting helps
├── ProviderUnavailable        it cannot be reached, or fails; waiting helps
├── RequestRefused             it does not take a value
├── ContentRefused             its filter does not take prompt, image or result
├── GenerationFailed           the job was taken and failed
├── SubmissionUncertain        nobody knows whether the job was taken, and so it is not sent again
├── ProviderDeadline           the job was taken and is not done in time
└── InvalidAnswer              what came breaks the provider's protocol, or is no video
    └── LinkExpired            the video is not behind its URL any more; a poll may tell another one
"""

from frontend.errors import FrontendError


class ProviderError(FrontendError):
    """Base.

    Args:
        message: a sentence for the person who made the request; without keys and URLs that are signed.
        prediction_id: of the job at the provider, where it has one.
        retry_after: seconds after which the provider wants to be asked again.
    """

    waiting_helps = False

    def __init__(
        self,
        message: str,
        field: str | None = None,
        *,
        prediction_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, field)
        self.prediction_id = prediction_id
        self.retry_after = retry_after


class ProviderNotConfigured(ProviderError):
    """This server has no key for the provider."""


class ProviderKeyRefused(ProviderError):
    """The provider does not take this server's key, or not for this."""


class ProviderBilling(ProviderError):
    """The account at the provider has no money, or no units, left."""


class ProviderBusy(ProviderError):
    """The provider takes no more requests, or jobs, now."""

    waiting_helps = True


class ProviderUnavailable(ProviderError):
    """The provider cannot be reached, or fails."""

    waiting_helps = True


class RequestRefused(ProviderError):
    """The provider does not take a value of the request."""


class ContentRefused(ProviderError):
    """The provider's filter does not take the prompt, the image or the result."""


class GenerationFailed(ProviderError):
    """The provider took the job, and it failed."""


class SubmissionUncertain(ProviderError):
    """The connection was lost while the job was sent: it may have been taken, and charged, so it is not sent again."""


class ProviderDeadline(ProviderError):
    """The provider took the job, and is not done in time."""


class InvalidAnswer(ProviderError):
    """What the provider sent breaks its protocol, or is no video."""


class LinkExpired(InvalidAnswer):
    """The video is not behind its URL, or not any more; a poll may tell another one."""
