"""The hosted providers that this server has keys for, and which of them has a model."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from frontend.providers import gemini_veo, klingai, openai_sora, wavespeed
from frontend.providers.errors import ProviderNotConfigured
from frontend.providers.hosted_model import HostedModel
from frontend.providers.provider import Provider
from frontend.providers.request import FittedRequest
from protocol.errors import InvalidRequest
from protocol.printable import quoted

Environment = Mapping[str, str]
HostedProvider = Provider[FittedRequest]
_KLING_KEYS = ("KLINGAI_ACCESS_KEY", "KLINGAI_SECRET_KEY")
_VERTEX = ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_CLOUD_PROJECT")
"""as Google's own SDK has them"""


@dataclass(frozen=True)
class Offer:
    """A provider, as the environment may configure it."""

    name: str
    models: tuple[HostedModel, ...]
    variables: tuple[str, ...]
    """that all have to be set"""
    make: Callable[[Environment], HostedProvider]

    def missing(self, environment: Environment) -> list[str]:
        """Variables that are not set."""
        return [name for name in self.variables if not environment.get(name)]


def _wavespeed(environment: Environment) -> HostedProvider:
    base_url = environment.get("WAVESPEED_BASE_URL") or wavespeed.BASE_URL
    return wavespeed.WaveSpeed(SecretStr(environment["WAVESPEED_API_KEY"]), base_url)


def _gemini(environment: Environment) -> HostedProvider:
    return gemini_veo.Veo(SecretStr(environment["GEMINI_API_KEY"]), environment.get("GOOGLE_GEMINI_BASE_URL"))


def _vertex(environment: Environment) -> HostedProvider:
    location = environment.get("GOOGLE_CLOUD_LOCATION") or gemini_veo.LOCATION
    base_url = environment.get("GOOGLE_VERTEX_BASE_URL")
    return gemini_veo.Veo(None, base_url, project=environment["GOOGLE_CLOUD_PROJECT"], location=location)


def _openai(environment: Environment) -> HostedProvider:
    base_url = environment.get("OPENAI_BASE_URL") or openai_sora.BASE_URL
    return openai_sora.Sora(SecretStr(environment["OPENAI_API_KEY"]), base_url)


def _klingai(environment: Environment) -> HostedProvider:
    access, secret = (SecretStr(environment[name]) for name in _KLING_KEYS)
    return klingai.KlingAI(access, secret, environment.get("KLINGAI_BASE_URL") or klingai.BASE_URL)


OFFERS = (
    Offer(wavespeed.NAME, wavespeed.WaveSpeed.models, ("WAVESPEED_API_KEY",), _wavespeed),
    Offer(gemini_veo.NAME, (gemini_veo.VERTEX_VEO_3_1_FAST, gemini_veo.VERTEX_VEO_3_1), _VERTEX, _vertex),
    Offer(gemini_veo.NAME, (gemini_veo.VEO_3_1_FAST, gemini_veo.VEO_3_1), ("GEMINI_API_KEY",), _gemini),
    Offer(openai_sora.NAME, openai_sora.Sora.models, ("OPENAI_API_KEY",), _openai),
    Offer(klingai.NAME, klingai.KlingAI.models, _KLING_KEYS, _klingai),
)
"""in the order in which they are looked through for a model"""


class Registry:
    """Makes providers when they are first asked for. A context manager, which closes them.

    Args:
        environment: holds their keys and, for servers that speak their protocols, `..._BASE_URL`.
    """

    def __init__(self, environment: Environment = os.environ, offers: Sequence[Offer] = OFFERS) -> None:
        self._environment = environment
        self._offers = offers
        self._made: dict[tuple[str, ...], HostedProvider] = {}
        """by their variables"""
        self._making = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for provider in self._made.values():
            await provider.close()
        self._made.clear()

    def configured(self) -> list[Offer]:
        """Those that there are keys for."""
        return [offer for offer in self._offers if not offer.missing(self._environment)]

    def models(self) -> list[HostedModel]:
        """All that can be asked for here."""
        return [model for offer in self.configured() for model in offer.models]

    def has(self, model: str) -> bool:
        """Whether a provider, configured or not, has a model of that name."""
        return any(_is(one, model) for offer in self._offers for one in offer.models)

    def usable(self, model: str) -> HostedModel | None:
        """The model of that name that there is a key for."""
        return next((one for one in self.models() if _is(one, model)), None)

    def find(self, model: str | None, provider: str | None = None) -> tuple[HostedProvider, HostedModel]:
        """The provider of a model, and the model. Loading a provider's library can take seconds, any thread may.

        Args:
            model: its id or an alias; the first of the first configured provider if None.
            provider: where to look; everywhere if None.

        Raises:
            InvalidRequest: there is no such provider, or it has no such model; names those there are.
            ProviderNotConfigured: the environment has no key for it, or its library is not installed.
        """
        offer, found = self._offer(model, provider)
        return self._provider(offer), found

    def model(self, model: str | None, provider: str | None = None) -> HostedModel:
        """As `find`, the model alone: its provider's library is not loaded."""
        return self._offer(model, provider)[1]

    def _offer(self, model: str | None, provider: str | None) -> tuple[Offer, HostedModel]:
        offers = [offer for offer in self._offers if provider in (None, offer.name)]
        if not offers:
            there = _listed(offer.name for offer in self._offers)
            raise InvalidRequest(f"there is no provider {quoted(str(provider))}; there are {there}", "provider")
        found = [(offer, one) for offer in offers for one in offer.models if model is None or _is(one, model)]
        if not found:
            there = _listed(one.id for offer in offers for one in offer.models)
            raise InvalidRequest(f"there is no model {quoted(str(model))}; there are {there}", "model")
        usable = [(offer, one) for offer, one in found if not offer.missing(self._environment)]
        if not usable:
            ways = dict.fromkeys((offer.name, " and ".join(offer.missing(self._environment))) for offer, _ in found)
            needed = "; ".join(f"{name} needs {variables}" for name, variables in ways)
            raise ProviderNotConfigured(f"no key is set: {needed}", "provider")
        return usable[0]

    def _provider(self, offer: Offer) -> HostedProvider:
        with self._making:
            if offer.variables not in self._made:
                try:
                    self._made[offer.variables] = offer.make(self._environment)
                except ImportError as error:
                    raise ProviderNotConfigured(
                        f"{offer.name} needs a library: pip install 'tritonreel[providers]' ({error})", "provider"
                    ) from None
            return self._made[offer.variables]


def _is(model: HostedModel, name: str) -> bool:
    return name.lower() in (model.id, *model.aliases)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
