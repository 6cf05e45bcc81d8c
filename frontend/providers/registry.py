"""The hosted providers that this server has keys for, and which of them has a model."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from frontend.providers import klingai, wavespeed
from frontend.providers.errors import ProviderNotConfigured
from frontend.providers.hosted_model import HostedModel
from frontend.providers.provider import Provider
from protocol.errors import InvalidRequest
from protocol.printable import quoted

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Offer:
    """A provider, as the environment may configure it."""

    name: str
    models: tuple[HostedModel, ...]
    variables: tuple[str, ...]
    """that all have to be set"""
    make: Callable[[Environment], Provider]


def _wavespeed(environment: Environment) -> Provider:
    base_url = environment.get("WAVESPEED_BASE_URL") or wavespeed.BASE_URL
    return wavespeed.WaveSpeed(SecretStr(environment["WAVESPEED_API_KEY"]), base_url)


def _klingai(environment: Environment) -> Provider:
    access, secret = (SecretStr(environment[name]) for name in _KLING_KEYS)
    return klingai.KlingAI(access, secret, environment.get("KLINGAI_BASE_URL") or klingai.BASE_URL)


_KLING_KEYS = ("KLINGAI_ACCESS_KEY", "KLINGAI_SECRET_KEY")
OFFERS = (
    Offer(wavespeed.NAME, wavespeed.WaveSpeed.models, ("WAVESPEED_API_KEY",), _wavespeed),
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
        self._made: dict[str, Provider] = {}

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
        return [offer for offer in self._offers if not self._missing(offer)]

    def models(self) -> list[HostedModel]:
        """All that can be asked for here."""
        return [model for offer in self.configured() for model in offer.models]

    def find(self, model: str | None, provider: str | None = None) -> tuple[Provider, HostedModel]:
        """The provider of a model, and the model.

        Args:
            model: its id or an alias; the provider's first if None.
            provider: where to look; everywhere if None.

        Raises:
            InvalidRequest: there is no such provider, or it has no such model; names those there are.
            ProviderNotConfigured: the environment has no key for it.
        """
        offers = [offer for offer in self._offers if provider in (None, offer.name)]
        if not offers:
            names = ", ".join(offer.name for offer in self._offers)
            raise InvalidRequest(f"there is no provider {quoted(str(provider))}; there are {names}", "provider")
        found = [(offer, one) for offer in offers for one in offer.models if model is None or _is(one, model)]
        if not found:
            names = ", ".join(one.id for offer in offers for one in offer.models)
            raise InvalidRequest(f"there is no model {quoted(str(model))}; there are {names}", "model")
        usable = [(offer, one) for offer, one in found if not self._missing(offer)]
        if not usable:
            offer = found[0][0]
            missing = " and ".join(self._missing(offer))
            raise ProviderNotConfigured(f"{offer.name} is not configured: set {missing}", "provider")
        offer, one = usable[0]
        if offer.name not in self._made:
            self._made[offer.name] = offer.make(self._environment)
        return self._made[offer.name], one

    def _missing(self, offer: Offer) -> list[str]:
        return [name for name in offer.variables if not self._environment.get(name)]


def _is(model: HostedModel, name: str) -> bool:
    return name.lower() in (model.id, *model.aliases)
