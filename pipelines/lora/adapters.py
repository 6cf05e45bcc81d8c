"""Low-rank adapters: finding them, checking that they fit, and what a transformer needs to apply them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.lora.file import AdapterFile
from pipelines.lora.fit import Places, SizeError, named_briefly
from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import Targets, read_targets
from pipelines.runner import Shared
from protocol.errors import InvalidRequest
from protocol.lora import AppliedLora, AppliedLoras, LoraRequest
from protocol.model_card import ModelCard
from protocol.printable import quoted
from runtime.engine import LORA_INPUT


class Adapters:
    """The adapters of one folder, for one checkpoint.

    Args:
        card: the checkpoint's.
        targets: what each of its transformers has, by component.
    """

    def __init__(self, folder: LoraFolder, card: ModelCard, targets: Mapping[str, Targets]) -> None:
        self._folder = folder
        self._model = card.id
        self._places = {component: Places(found) for component, found in targets.items()}

    @classmethod
    def of(cls, checkpoint: Path, folder: LoraFolder) -> "Adapters":
        """For the checkpoint whose card and targets are in `checkpoint`."""
        return cls(folder, ModelCard.read(checkpoint), read_targets(checkpoint))

    def check(self, requests: Sequence[LoraRequest]) -> tuple[str, ...]:
        """Check that there are these adapters and that they fit, reading no more than their headers.

        Returns:
            what of them is not applied, or was taken for granted: sentences for whoever asked.

        Raises:
            InvalidRequest: naming what does not fit; the field is `lora`.
        """
        if requests and not self._places:
            raise InvalidRequest(f"{self._model} was exported without adapters; export it again", "lora")
        warnings: list[str] = []
        for component in self._places:
            for request in requests:
                if (adapter := self._find(request, component)) is not None:
                    warnings += self._check_fit(adapter, component, _is_for_one(request))
        return tuple(dict.fromkeys(warnings))

    def why_not(self, name: str) -> str | None:
        """Why the adapter of that name cannot be applied, if it cannot."""
        try:
            self.check([LoraRequest(name=name)])
        except InvalidRequest as error:
            return error.message
        return None

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
            self._check_fit(adapter, component, _is_for_one(request))
            if adapter.updates(component):  # one for the other expert alone has none
                file = self._folder.relative(adapter)
                applied.append(AppliedLora(file=file, version=adapter.version, scale=request.scale))
        return tuple(applied)

    def _find(self, request: LoraRequest, component: str) -> AdapterFile | None:
        """The file that a request names for the transformer."""
        if request.name is not None:
            return self._folder.by_name_or_path(request.name)  # other servers' names are paths, too
        if request.path is not None:
            return self._folder.by_path(request.path)
        if "transformer_2" not in self._places:
            raise InvalidRequest(f"{self._model} has one transformer; `high` and `low` are for two experts", "lora")
        words = request.high if component == "transformer" else request.low
        return self._folder.by_name_or_path(words) if words is not None else None

    def _check_fit(self, adapter: AdapterFile, component: str, for_one: bool) -> list[str]:
        """Sentences about what is left out."""
        name = quoted(self._folder.relative(adapter))
        what = f"adapter {name} does not fit {self._model}"
        if adapter.is_pair and "transformer_2" not in self._places:
            raise InvalidRequest(f"{what}: it is for two experts, and the model has one transformer", "lora")
        updates = adapter.updates(component)
        if not updates:
            if for_one:
                raise InvalidRequest(f"{what}: it has nothing for {component}", "lora")
            return []
        try:
            found = self._places[component].fit(updates)
        except SizeError as error:
            raise InvalidRequest(f"{what}: {component}.{error}", "lora") from None
        except ValueError as error:
            raise InvalidRequest(f"{what}: {error}", "lora") from None
        if not found:
            left_out = named_briefly([*found.lacking, *found.misshapen])
            raise InvalidRequest(f"{what}: {component} has no linear layer {left_out}", "lora")
        warnings = [f"adapter {name}: {note}" for note in adapter.notes]
        if found.lacking:
            warnings.append(f"adapter {name}: left out what {self._model} lacks: {named_briefly(found.lacking)}")
        if found.misshapen:
            warnings.append(
                f"adapter {name}: left out what has another shape in {self._model}: {named_briefly(found.misshapen)}"
            )
        return warnings


def _is_for_one(request: LoraRequest) -> bool:
    return request.high is not None or request.low is not None
