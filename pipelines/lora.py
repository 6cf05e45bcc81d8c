"""Low-rank adapters: finding them, checking that they fit, and what a transformer needs to apply them."""

from pipelines.errors import InvalidRequest
from pipelines.lora_spec import LoraRequest
from pipelines.runner import Shared


class Adapters:
    """The adapters of one folder, for one checkpoint."""

    def shared(self, requests: tuple[LoraRequest, ...], component: str) -> Shared:
        """What a transformer needs to apply them.

        Args:
            component: `transformer` or `transformer_2`.

        Raises:
            InvalidRequest: an adapter is unknown or does not fit; the field is `lora`.
        """
        if requests:
            raise InvalidRequest("adapters are not supported yet", "lora")
        return Shared()
