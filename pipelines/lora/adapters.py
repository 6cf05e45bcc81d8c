"""Low-rank adapters: finding them, checking that they fit, and what a transformer needs to apply them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.lora.file import AdapterFile
from pipelines.lora.folder import LoraFolder
from pipelines.lora.names import name_table
from pipelines.lora.targets import Sizes, read_targets
from pipelines.runner import Shared
from protocol.errors import InvalidRequest
from protocol.lora import AppliedLora, AppliedLoras, LoraRequest
from protocol.model_card import ModelCard
from runtime.engine import LORA_INPUT


class Adapters:
    """The adapters of one folder, for one checkpoint.

    Args:
        card: the checkpoint's.
        targets: the linear layers of each of its transformers, by component.
    """

    def __init__(self, folder: LoraFolder, card: ModelCard, targets: Mapping[str, Sizes]) -> None:
        self._folder = folder
        self._model = card.id
        self._targets = targets
        self._names = {component: name_table(sizes) for component, sizes in targets.items()}

    @classmethod
    def of(cls, checkpoint: Path, folder: LoraFolder) -> "Adapters":
        """For the checkpoint whose card and targets are in `checkpoint`."""
        return cls(folder, ModelCard.read(checkpoint), read_targets(checkpoint))

    def check(self, requests: Sequence[LoraRequest]) -> None:
        """Check that there are these adapters and that they fit, reading no more than their headers.

        Raises:
            InvalidRequest: naming what does not fit; the field is `lora`.
        """
        if requests and not self._targets:
            raise InvalidRequest(f"{self._model} was exported without adapters; export it again", "lora")
        for component in self._targets:
            self._applied(requests, component)

    def fits(self, name: str) -> bool:
        """Whether the adapter of that name can be applied."""
        try:
            self.check([LoraRequest(name=name)])
        except InvalidRequest:
            return False
        return True

    def shared(self, requests: Sequence[LoraRequest], component: str) -> Shared:
        """What a transformer needs to apply them.

        Args:
            component: `transformer` or `transformer_2`.

        Raises:
            InvalidRequest: an adapter is unknown or does not fit; the field is `lora`.
        """
        if not (applied := self._applied(requests, component)):
            return Shared()
        text = AppliedLoras(component=component, adapters=applied).model_dump_json()
        return Shared(text, {LORA_INPUT: text})

    def _applied(self, requests: Sequence[LoraRequest], component: str) -> tuple[AppliedLora, ...]:
        applied = []
        for request in requests:
            adapter = self._find(request, component)
            if adapter is None:
                continue
            self._check_fit(adapter, component, for_one=request.high is not None or request.low is not None)
            if adapter.layers(component):  # one for the other expert alone has none
                file = self._folder.relative(adapter)
                applied.append(AppliedLora(file=file, version=adapter.version, scale=request.scale))
        return tuple(applied)

    def _find(self, request: LoraRequest, component: str) -> AdapterFile | None:
        """The file that a request names for the transformer."""
        if request.name is not None:
            return self._folder.by_name(request.name)
        if request.path is not None:
            return self._folder.by_path(request.path)
        if "transformer_2" not in self._targets:
            raise InvalidRequest(f"{self._model} has one transformer; `high` and `low` are for two experts", "lora")
        words = request.high if component == "transformer" else request.low
        return self._folder.by_name_or_path(words) if words is not None else None

    def _check_fit(self, adapter: AdapterFile, component: str, for_one: bool) -> None:
        what = f"adapter {self._folder.relative(adapter)!r} does not fit {self._model}"
        if adapter.is_pair and "transformer_2" not in self._targets:
            raise InvalidRequest(f"{what}: it is for two experts, and the model has one transformer", "lora")
        if not adapter.layers(component) and for_one:
            raise InvalidRequest(f"{what}: it has nothing for {component}", "lora")
        seen: dict[str, str] = {}
        for name, layer in adapter.layers(component).items():
            target = self._names[component].get(name)
            if target is None:
                raise InvalidRequest(f"{what}: {component} has no linear layer {name}", "lora")
            if target in seen:
                raise InvalidRequest(f"{what}: {name} and {seen[target]} are the same layer", "lora")
            seen[target] = name
            if layer.sizes != self._targets[component][target]:
                has, wants = (
                    f"{fan_in} x {fan_out}" for fan_in, fan_out in (self._targets[component][target], layer.sizes)
                )
                raise InvalidRequest(f"{what}: {component}.{target} is {has}, and the adapter is for {wants}", "lora")
