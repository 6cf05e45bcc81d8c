"""Low-rank adapters: finding them, checking that they fit, and what a transformer needs to apply them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pipelines.lora.file import AdapterFile
from pipelines.lora.fit import Fit, Places, SizeError, named_briefly
from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import Targets, read_targets
from pipelines.runner import Shared
from protocol.errors import InvalidRequest
from protocol.lora import AppliedLora, AppliedLoras, LoraRequest
from protocol.model_card import ModelCard
from protocol.printable import quoted
from runtime.engine import LORA_INPUT

_ELSEWHERE = "serve with --engine onnxruntime to apply it"


class Adapters:
    """The adapters of one folder, for one checkpoint.

    Args:
        card: the checkpoint's.
        targets: what each of its transformers has, by component.
        engine_ranks: of the transformers that run on TensorRT: the rank of all adapters together that the engine takes.
            It takes no differences of biases, norms and the like.
    """

    def __init__(
        self,
        folder: LoraFolder,
        card: ModelCard,
        targets: Mapping[str, Targets],
        engine_ranks: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._model = card.id
        self._targets = targets
        self._engine_ranks = engine_ranks
        self._places = {component: Places(found) for component, found in targets.items()}

    @classmethod
    def of(
        cls, checkpoint: Path, folder: LoraFolder, engine_ranks: Mapping[str, int] = MappingProxyType({})
    ) -> "Adapters":
        """For the checkpoint whose card and targets are in `checkpoint`."""
        return cls(folder, ModelCard.read(checkpoint), read_targets(checkpoint), engine_ranks)

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
            fits = []
            for request in requests:
                if (adapter := self._find(request, component)) is None:
                    continue
                if (found := self._fit(adapter, component, _is_for_one(request))) is not None:
                    fits.append(found)
                    warnings += self._left_out(adapter, component, found)
            self._check_rank(fits, component)
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
            # one for the other expert alone has nothing for this one
            if self._fit(adapter, component, _is_for_one(request)) is not None:
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

    def _fit(self, adapter: AdapterFile, component: str, for_one: bool) -> Fit | None:
        """Where its updates go; None where it is for the other expert alone."""
        what = f"adapter {self._named(adapter)} does not fit {self._model}"
        if adapter.is_pair and "transformer_2" not in self._places:
            raise InvalidRequest(f"{what}: it is for two experts, and the model has one transformer", "lora")
        updates = adapter.updates(component)
        if not updates:
            if for_one:
                raise InvalidRequest(f"{what}: it has nothing for {component}", "lora")
            return None
        try:
            found = self._places[component].fit(updates)
        except SizeError as error:
            raise InvalidRequest(f"{what}: {component}.{error}", "lora") from None
        except ValueError as error:
            raise InvalidRequest(f"{what}: {error}", "lora") from None
        if not found:
            left_out = named_briefly([*found.lacking, *found.misshapen])
            raise InvalidRequest(f"{what}: {component} has no linear layer {left_out}", "lora")
        if component in self._engine_ranks and not (found.layers or found.weights):
            raise InvalidRequest(
                f"adapter {self._named(adapter)} cannot be applied to {self._model} here: its TensorRT engine takes "
                f"updates of linear layers, and this has {named_briefly([*found.parameters])}; {_ELSEWHERE}",
                "lora",
            )
        return found

    def _left_out(self, adapter: AdapterFile, component: str, found: Fit) -> list[str]:
        """Sentences about what is not applied, or was taken for granted."""
        about = f"adapter {self._named(adapter)}"
        warnings = [f"{about}: {note}" for note in adapter.notes]
        if found.lacking:
            warnings.append(f"{about}: left out what {self._model} lacks: {named_briefly(found.lacking)}")
        if found.misshapen:
            misshapen = named_briefly(found.misshapen)
            warnings.append(f"{about}: left out what has another shape in {self._model}: {misshapen}")
        if component in self._engine_ranks and found.parameters:
            parameters = named_briefly([*found.parameters])
            warnings.append(
                f"{about}: left out what the TensorRT engine of {self._model} does not take: {parameters}; {_ELSEWHERE}"
            )
        return warnings

    def _check_rank(self, fits: Sequence[Fit], component: str) -> None:
        """That the engine takes so high a rank: a layer has those of all adapters that change it."""
        most = self._engine_ranks.get(component)
        ranks: Counter[str] = Counter()
        for found in fits:
            ranks.update({name: layer.rank for name, layer in found.layers.items()})
            # whole differences are updates of full rank
            ranks.update({name: min(self._targets[component].layers[name]) for name in found.weights})
        if most is None or not ranks:
            return
        ((layer, rank),) = ranks.most_common(1)
        if rank > most:
            takes = f"adapters of rank {most} at most, all together" if most else "no adapters"
            raise InvalidRequest(
                f"the TensorRT engine of {self._model} takes {takes}, got rank {rank} in {component}.{layer}; have it "
                f"built for more with `python -m export.engines --adapter-rank {rank}`, or {_ELSEWHERE}",
                "lora",
            )

    def _named(self, adapter: AdapterFile) -> str:
        return quoted(self._folder.relative(adapter))


def _is_for_one(request: LoraRequest) -> bool:
    return request.high is not None or request.low is not None
