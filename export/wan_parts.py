"""The components of Wan2.2 checkpoints, and the Triton models that they become."""

from functools import partial

from export import umt5, wan_transformer, wan_vae, wan_vae_encoder
from export.family import Part
from export.options import Precision

TEXT_ENCODER = Part(
    component="text_encoder",
    class_name="UMT5EncoderModel",
    model="wan_text_encoder",
    load=umt5.load,
    graphs=umt5.graphs,
    compare=umt5.compare,
    # transformers keeps parts of it in float32 beside float16, because its values do not fit
    precisions=frozenset({Precision.FLOAT32, Precision.BFLOAT16}),
)


def transformer(model: str, token_timesteps: bool = False) -> Part:
    return _transformer("transformer", model, token_timesteps, optional=False)


def transformer_2(model: str) -> Part:
    """The low-noise expert, which models with one transformer lack."""
    return _transformer("transformer_2", model, token_timesteps=False, optional=True)


def _transformer(component: str, model: str, token_timesteps: bool, optional: bool) -> Part:
    return Part(
        component=component,
        class_name="WanTransformer3DModel",
        model=model,
        load=wan_transformer.load,
        graphs=partial(wan_transformer.graphs, token_timesteps=token_timesteps),
        compare=partial(wan_transformer.compare, token_timesteps=token_timesteps),
        optional=optional,
    )


def vae(model: str) -> Part:
    """The decoder."""
    return Part(
        component="vae",
        class_name="AutoencoderKLWan",
        model=model,
        load=wan_vae.load,
        graphs=wan_vae.decoder_graphs,
        compare=wan_vae.compare_decoder,
        bands=wan_vae.decoder_plan,
        colours=wan_vae.colours,
    )


def vae_encoder(model: str) -> Part:
    return Part(
        component="vae_encoder",
        class_name="AutoencoderKLWan",
        model=model,
        load=wan_vae.load,
        graphs=wan_vae_encoder.encoder_graphs,
        compare=wan_vae_encoder.compare_encoder,
        bands=wan_vae_encoder.encoder_plan,
        folder="vae",
    )
