# ruff: noqa: T201
"""The official `openai` package against this server.

    python frontend/examples/openai_sdk.py images.generate --prompt "a red circle" --output circle.png
    python frontend/examples/openai_sdk.py videos.create --prompt "it moves right" --image circle.png
    python frontend/examples/openai_sdk.py videos.create_and_poll --prompt "a red circle moves right"

Where the server asks for an API key, it is taken from the environment variable TRITONREEL_API_KEY.
What OpenAI's API does not know (steps, guidance, adapters, ...) goes into the SDK's `extra_body`.
"""

import argparse
import base64
import os
import sys
import warnings
from pathlib import Path

import openai
from openai.types import ImagesResponse, Video

# OpenAI ends its own video service, and the SDK says so whatever server it talks to.
warnings.filterwarnings("ignore", message="The Sora API", category=DeprecationWarning)


def main() -> None:
    options = parse_options()
    extra = {"seed": options.seed} if options.seed is not None else {}
    # The SDK insists on a key, also where the server asks for none. Not OPENAI_API_KEY: that one is for OpenAI alone.
    key = os.environ.get("TRITONREEL_API_KEY") or "none"
    client = openai.OpenAI(base_url=f"{options.url}/v1", api_key=key, timeout=3600, max_retries=0)
    try:
        match options.call:
            case "images.generate":
                image = client.images.generate(prompt=options.prompt, model=options.model, extra_body=extra)
                save_image(image, options.output or Path("image.png"))
            case "videos.create":
                # Waits, and the answer has the video in it as base64 too: `video.data[0]["b64_json"]`.
                video = client.videos.create(
                    prompt=options.prompt,
                    model=options.model or openai.omit,
                    input_reference=options.image or openai.omit,
                    extra_body=extra,
                )
                save_video(client, video, options.output or Path("video.mp4"))
            case "videos.create_and_poll":
                video = client.videos.create_and_poll(
                    prompt=options.prompt,
                    model=options.model or openai.omit,
                    input_reference=options.image or openai.omit,
                    extra_body=extra,
                )
                save_video(client, video, options.output or Path("video.mp4"))
    except openai.APIConnectionError as error:
        sys.exit(f"No answer from {options.url}: {error.__cause__ or error}. Is the server running?")
    except openai.APIStatusError as error:
        sys.exit(f"The server refused ({error.status_code}): {error.message}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("call", choices=["images.generate", "videos.create", "videos.create_and_poll"])
    parser.add_argument("--prompt", required=True, help="what to show")
    parser.add_argument("--image", type=Path, help="videos: PNG, JPEG or WebP file that the video starts from")
    parser.add_argument("--output", type=Path, help="file to write [image.png or video.mp4]")
    parser.add_argument("--seed", type=int, help="the same seed makes the same image or video [random]")
    parser.add_argument("--model", help="a served id, see URL/v1/models [the first that can]")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server [%(default)s]")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    if options.image is not None and not options.image.is_file():
        parser.error(f"--image: there is no file {str(options.image)!r}")
    return options


def save_image(answer: ImagesResponse, output: Path) -> None:
    for image in answer.data or []:
        output.write_bytes(base64.b64decode(image.b64_json or ""))
    print(f"{output}: {answer.size}")


def save_video(client: openai.OpenAI, video: Video, output: Path) -> None:
    client.videos.download_content(video.id).write_to_file(output)
    print(f"{output}: {video.size}, {video.seconds} s, {video.model}, {video.id}")


if __name__ == "__main__":
    main()
