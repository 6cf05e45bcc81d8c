# ruff: noqa: T201
"""Make videos from a text, or from an image and a text, and save them.

    python frontend/examples/generate_video.py --prompt "a red circle moves right" --output circle.mp4
    python frontend/examples/generate_video.py --prompt "it moves right" --image circle.png --seed 7 --n 2

Needs `httpx` and nothing else of this project.
Where the server asks for an API key, it is taken from the environment variable TRITONREEL_API_KEY.
"""

import argparse
import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx


def main() -> None:
    options = parse_options()
    count = f"{options.n} videos" if options.n > 1 else "a video"
    print(f"Asking {options.url} for {count}. A large model takes minutes; Ctrl-C stops it.", file=sys.stderr)
    started = time.monotonic()
    try:
        answer = post(options)
    except KeyboardInterrupt:
        sys.exit("Stopped, and the server stops too.")
    for warning in answer["warnings"]:
        print(f"Warning: {warning}", file=sys.stderr)
    made = f"{answer['size']}, {answer['num_frames']} frames at {answer['fps']:g} a second, {answer['model']}"
    for output, video in zip(outputs(options.output, options.n), answer["data"], strict=True):
        output.write_bytes(base64.b64decode(video["b64_json"]))
        print(f"{output}: {made}, seed {video['seed']}")
    print(f"Done in {time.monotonic() - started:.1f} s.", file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", required=True, help="what to show")
    parser.add_argument("--image", type=Path, help="PNG, JPEG or WebP file that the video starts from")
    parser.add_argument("--negative-prompt", help="what to steer away from")
    parser.add_argument("--output", type=Path, default=Path("video.mp4"), help="file to write [%(default)s]")
    parser.add_argument("--n", type=int, default=1, help="videos to make; several are numbered: video-1.mp4 [1]")
    parser.add_argument("--seed", type=int, help="the same seed makes the same video; the i-th of --n adds i [random]")
    parser.add_argument("--steps", type=int, help="denoising steps [the model's own]")
    parser.add_argument("--size", help='"WIDTHxHEIGHT" in pixels [the model\'s own; with --image, of its shape]')
    parser.add_argument("--seconds", type=float, help="length [the model's own]")
    parser.add_argument("--model", help="a served id, see URL/v1/models [the first that can]")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server [%(default)s]")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    if options.output.suffix.lower() != ".mp4":
        parser.error(f"--output must end in .mp4, got {str(options.output)!r}")
    if not options.output.parent.is_dir():
        parser.error(f"--output: there is no folder {str(options.output.parent)!r}")
    if options.image is not None and not options.image.is_file():
        parser.error(f"--image: there is no file {str(options.image)!r}")
    return options


def post(options: argparse.Namespace) -> Any:
    """The server's answer; ends the program with a sentence if there is none."""
    fields = {
        "prompt": options.prompt,
        "negative_prompt": options.negative_prompt,
        "n": options.n,
        "seed": options.seed,
        "num_inference_steps": options.steps,
        "size": options.size,
        "seconds": options.seconds,
        "model": options.model,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    url = f"{options.url}/v1/videos"
    timeout = httpx.Timeout(10, read=None)  # the server answers when the videos are done, however long that takes
    try:
        if options.image is None:
            response = httpx.post(url, json=given, headers=authorization(), timeout=timeout)
        else:
            upload = {"input_reference": (options.image.name, options.image.read_bytes())}
            response = httpx.post(url, data=given, files=upload, headers=authorization(), timeout=timeout)
    except httpx.TransportError as error:
        sys.exit(f"No answer from {options.url}: {error}. Is the server running?")
    if response.is_success:
        return response.json()
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text[:200]
    sys.exit(f"The server refused ({response.status_code}): {message}")


def authorization() -> dict[str, str]:
    """The header that shows the API key, if there is one."""
    key = os.environ.get("TRITONREEL_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def outputs(output: Path, n: int) -> list[Path]:
    """The files to write: `output` itself, or as many with a number."""
    return [output] if n == 1 else [output.with_stem(f"{output.stem}-{i}") for i in range(1, n + 1)]


if __name__ == "__main__":
    main()
