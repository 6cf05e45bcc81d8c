"""`tritonreel video` and `tritonreel image`: make something, and write it into a file."""

import base64
import mimetypes
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.ending import INTERRUPTED, asking, failed, say
from cli.finish import check_wishes, finish, wait
from cli.options import (
    URL,
    JsonOption,
    OpenOption,
    OutputOption,
    PreviewOption,
    UrlOption,
    adapter_of,
    with_fields,
)
from cli.output_files import STDOUT
from cli.server import ClientError, ConnectionLost, Server, new_key
from frontend.schemas.images_generations import ImageGenerationRequest
from frontend.schemas.videos_generations import VideoGenerationRequest

_Prompt = Annotated[str, typer.Argument(help="What to show.")]
_Lora = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="NAME[:SCALE]",
        help="An adapter of the server, and how strongly to apply it; give it several times for several.",
        show_default="none",
    ),
]
_Image = Annotated[
    str | None,
    typer.Option("--image", metavar="FILE|URL", help="The image that the video starts from.", show_default="none"),
]
_WITHOUT_EFFECT = frozenset(
    {"vae_use_slicing", "vae_use_tiling", "quality", "style", "moderation", "user", "background", "partial_images"}
)
_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
"""of images, by the ends of files"""


@with_fields(VideoGenerationRequest)
def video(
    prompt: _Prompt,
    output: OutputOption = None,
    image: _Image = None,
    lora: _Lora = None,
    preview: PreviewOption = True,
    open_file: OpenOption = False,
    as_json: JsonOption = False,
    url: UrlOption = URL,
    **fields: object,
) -> None:
    """Make a video from a text, or from an image and a text.

    Ctrl-C stops it at the server too. Where the server asks for an API key, it is read from the variable
    TRITONREEL_API_KEY. What is left out is the model's own choice.

    \b
    Examples:
      tritonreel video "a red circle moves right"
      tritonreel video "a red circle moves right" -o circle.mp4 --seconds 5 --size 832x480
      tritonreel video "it moves right" --image circle.png --seed 7
      tritonreel video "a heron takes off" --lora ink:0.8 -n 4 --open
      tritonreel video "a red circle moves right" -o - | ffplay -
      tritonreel video "a heron takes off" --json | jq -r .id
    """
    body = _body(prompt, lora, fields)
    path = "/v1/videos/generations"
    if image is not None:
        path = "/v1/videos"
        body["input_reference"] = {"image_url": _image_url(image)}
    _make(path, body, output, url, previews=preview, as_json=as_json, opens=open_file)


@with_fields(ImageGenerationRequest, guidance="true_cfg_scale", without=_WITHOUT_EFFECT)
def image(
    prompt: _Prompt,
    output: OutputOption = None,
    lora: _Lora = None,
    preview: PreviewOption = True,
    open_file: OpenOption = False,
    as_json: JsonOption = False,
    url: UrlOption = URL,
    **fields: object,
) -> None:
    """Make an image from a text.

    The file is PNG, or what its name ends in: .jpg or .webp. Ctrl-C stops it at the server too. Where the server asks
    for an API key, it is read from the variable TRITONREEL_API_KEY. What is left out is the model's own choice.

    \b
    Examples:
      tritonreel image "a lighthouse in a storm, oil on canvas"
      tritonreel image "a lighthouse in a storm" -o lighthouse.webp --size 1024x1024 --steps 30
      tritonreel image "a lighthouse in a storm" -n 4 --seed 7 -o studies/
    """
    body = _body(prompt, lora, fields)
    if output is not None and output != STDOUT and not Path(output).is_dir():
        format_of_name = _FORMATS.get(Path(output).suffix.lower())
        if format_of_name is not None:
            body.setdefault("output_format", format_of_name)
    _make("/v1/images/generations", body, output, url, previews=preview, as_json=as_json, opens=open_file)


def _body(prompt: str, lora: list[str] | None, fields: Mapping[str, object]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    adapters = {"lora": [adapter_of(text) for text in lora]} if lora else {}
    return {"prompt": prompt, **given, **adapters}


def _image_url(image: str) -> str:
    if image.startswith(("http://", "https://", "data:")):
        return image
    try:
        content = Path(image).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{image!r} cannot be read: {error.strerror}", param_hint="--image") from None
    media_type = mimetypes.guess_type(image)[0] or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _make(
    path: str, body: dict[str, Any], output: str | None, url: str, *, previews: bool, as_json: bool, opens: bool
) -> None:
    check_wishes(output, body.get("n", 1), as_json=as_json, opens=opens)
    with asking(url) as server:
        job_id = _create(server, path, body)
        try:
            job = wait(server, job_id, previews=previews)
        except KeyboardInterrupt:
            _stop(server, job_id)
            raise typer.Exit(INTERRUPTED) from None
        try:
            finish(server, job, output, as_json=as_json, opens=opens)
        except KeyboardInterrupt:
            say(f"Stopped, but it is done, and kept for a while: tritonreel jobs get {job_id}")
            raise typer.Exit(INTERRUPTED) from None


def _create(server: Server, path: str, body: dict[str, Any]) -> str:
    key = new_key()
    try:
        return server.create(path, body, key)
    except ConnectionLost as error:
        raise failed(f"{error.message} while it was asked; tritonreel jobs lists the job if there is one") from None
    except KeyboardInterrupt:
        # Nobody knows whether the request has arrived. Asked again by the same key, the server says which job it is.
        with suppress(ClientError):
            _stop(server, server.create(path, body, key))
        raise typer.Exit(INTERRUPTED) from None


def _stop(server: Server, job_id: str) -> None:
    try:
        server.delete(job_id)
    except ClientError as error:
        say(f"{job_id} may go on: {error.message}. tritonreel jobs cancel {job_id}")
    else:
        say(f"Stopped, and {job_id} is stopped at the server too.")
