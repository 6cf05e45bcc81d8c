"""Qwen-Image text-to-image: a QwenImagePipeline."""

from pydantic import ValidationError

from export import qwen_text_encoder, qwen_transformer, qwen_vae
from export.checkpoint import Checkpoint
from export.defaults import OwnDefaults
from export.errors import CheckpointError
from export.family import Family, Part, Published
from export.memory_use import qwen_image_memory_use
from export.solvers import check_dynamic_solver
from protocol.errors import InvalidRequest
from protocol.model_card import Components, LatentSpace, Limits, ModelCard, RotaryEmbedding
from protocol.resolve import parse, resolve
from protocol.sampling import SamplingDefaults

NAME = "qwen_image"

_MODEL = Published(
    model_id="qwen-image",
    defaults={
        "width": 1024,
        "height": 1024,
        "num_inference_steps": 50,
        "true_cfg_scale": 4.0,
        # without a negative prompt diffusers does not guide
        "negative_prompt": " ",
    },
    largest=(1328, 1328),
    max_pixel_frames=2048 * 2048,
    max_sequence_length=1024,
)

_ROPE_THETA = 10_000
_ROPE_POSITIONS = 4096
"""of diffusers' `QwenEmbedRope` on either side of the image's middle; those of the text follow the image's"""

_OTHER_VARIANTS = ("guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope")
"""settings of the transformers of Qwen-Image-Edit and Qwen-Image-Layered, which take more inputs"""


def _card(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
    _check_fit(checkpoint)
    check_dynamic_solver(checkpoint)
    transformer, vae, scheduler = (checkpoint.config(part) for part in ("transformer", "vae", "scheduler"))
    spatial_stride = 2 ** len(vae["temperal_downsample"])  # [sic]
    size_multiple = spatial_stride * transformer["patch_size"]
    max_sequence_length = _max_sequence_length(checkpoint, own)
    try:
        card = ModelCard(
            id=own.id or _MODEL.model_id,
            family=NAME,
            tasks=("text-to-image",),
            solvers=("euler",),
            defaults=_sampling_defaults(checkpoint, own),
            limits=Limits(
                size_multiple=size_multiple,
                max_side=2 * (_ROPE_POSITIONS - _MODEL.max_sequence_length) * size_multiple,
                max_pixel_frames=own.max_pixel_frames or _MODEL.max_pixel_frames,
            ),
            latents=LatentSpace(
                channels=vae["z_dim"],
                temporal_stride=2 ** sum(vae["temperal_downsample"]),
                spatial_stride=spatial_stride,
                mean=vae["latents_mean"],
                std=vae["latents_std"],
            ),
            components=Components(**{part.component: part.model for part in _PARTS}),
            max_sequence_length=max_sequence_length,
            num_train_timesteps=scheduler.get("num_train_timesteps", 1000),
            rope=RotaryEmbedding(theta=_ROPE_THETA, axes_dims=transformer["axes_dims_rope"]),
            memory=qwen_image_memory_use(transformer, checkpoint.config("text_encoder"), max_sequence_length),
        )
        resolve(parse({"prompt": "a request that leaves everything else to the model"}), card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckpointError(f"{checkpoint.folder}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except InvalidRequest as error:
        raise CheckpointError(f"{checkpoint.folder}: its default {error.field} {error.message}") from None
    return card


def _sampling_defaults(checkpoint: Checkpoint, own: OwnDefaults) -> SamplingDefaults:
    defaults = _MODEL.defaults
    return SamplingDefaults(**{**defaults, **own.sampling(checkpoint.folder, NAME, defaults)}, solver="euler")


def _max_sequence_length(checkpoint: Checkpoint, own: OwnDefaults) -> int:
    limit = _MODEL.max_sequence_length
    length = own.max_sequence_length or limit
    if length > limit:
        raise CheckpointError(f"{checkpoint.folder}: max_sequence_length must be at most {limit}, got {length}")
    return length


def _check_fit(checkpoint: Checkpoint) -> None:
    """Other Qwen-Image models have transformers of the same class; and components of different models don't fit."""
    transformer = checkpoint.config("transformer")
    for setting in _OTHER_VARIANTS:
        if transformer.get(setting):
            raise CheckpointError(
                f"{checkpoint.folder}: its transformer has {setting}, so it is an editing or layered model "
                f"and not of family {NAME}"
            )

    channels, patch = checkpoint.config("vae")["z_dim"], transformer["patch_size"]
    if transformer["in_channels"] != channels * patch**2:
        raise CheckpointError(
            f"{checkpoint.folder}: the transformer takes {transformer['in_channels']} channels "
            f"and the VAE has {channels}, {channels * patch**2} when packed"
        )
    text_encoder = checkpoint.config("text_encoder")
    text = text_encoder.get("text_config", text_encoder)["hidden_size"]
    if transformer["joint_attention_dim"] != text:
        raise CheckpointError(
            f"{checkpoint.folder}: the transformer takes text of width {transformer['joint_attention_dim']} "
            f"and the text encoder gives {text}"
        )


_PARTS = (
    Part(
        component="text_encoder",
        class_name="Qwen2_5_VLForConditionalGeneration",
        model="qwen_image_text_encoder",
        load=qwen_text_encoder.load,
        graphs=qwen_text_encoder.graphs,
        compare=qwen_text_encoder.compare,
    ),
    Part(
        component="transformer",
        class_name="QwenImageTransformer2DModel",
        model="qwen_image_transformer",
        load=qwen_transformer.load,
        graphs=qwen_transformer.graphs,
        compare=qwen_transformer.compare,
    ),
    Part(
        component="vae",
        class_name="AutoencoderKLQwenImage",
        model="qwen_image_vae",
        load=qwen_vae.load,
        graphs=qwen_vae.graphs,
        compare=qwen_vae.compare,
        bands=qwen_vae.plan,
        colours=qwen_vae.colours,
    ),
)

QWEN_IMAGE = Family(
    name=NAME, pipelines=("QwenImagePipeline",), parts=_PARTS, published=_MODEL, check=_check_fit, card=_card
)
