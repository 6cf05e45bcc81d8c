# ruff: noqa: T201
"""Make images from a text, and save them.

    python frontend/examples/generate_image.py --prompt "a red circle" --output circle.png
    python frontend/examples/generate_image.py --prompt "a lighthouse" --n 4 --seed 7 --output lighthouse.jpg

The suffix of --output chooses the format. Needs `httpx` and nothing else of this project.
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

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}


def main() -> None:
    options = parse_options()
    count = f"{options.n} images" if options.n > 1 else "an image"
    print(f"Asking {options.url} for {count}. A large model takes minutes; Ctrl-C stops it.", file=sys.stderr)
    started = time.monotonic()
    try:
        answer = post(options)
    except KeyboardInterrupt:
        sys.exit("Stopped, and the server stops too.")
    for warning in answer["warnings"]:
        print(f"Warning: {warning}", file=sys.stderr)
    for output, image in zip(outputs(options.output, options.n), answer["data"], strict=True):
        output.write_bytes(base64.b64decode(image["b64_json"]))
        print(f"{output}: {answer['size']}, {answer['model']}, seed {image['seed']}")
    print(f"Done in {time.monotonic() - started:.1f} s.", file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", required=True, help="what to show")
    parser.add_argument("--negative-prompt", help="what to steer away from")
    parser.add_argument("--output", type=Path, default=Path("image.png"), help="file to write [%(default)s]")
    parser.add_argument("--n", type=int, default=1, help="images to make; several are numbered: image-1.png [1]")
    parser.add_argument("--seed", type=int, help="the same seed makes the same image; the i-th of --n adds i [random]")
    parser.add_argument("--steps", type=int, help="denoising steps [the model's own]")
    parser.add_argument("--size", help='"WIDTHxHEIGHT" in pixels [the model\'s own]')
    parser.add_argument("--model", help="a served id, see URL/v1/models [the first that makes images]")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server [%(default)s]")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    if options.output.suffix.lower() not in FORMATS:
        parser.error(f"--output must end in {', '.join(FORMATS)}, got {str(options.output)!r}")
    if not options.output.parent.is_dir():
        parser.error(f"--output: there is no folder {str(options.output.parent)!r}")
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
        "model": options.model,
        "output_format": FORMATS[options.output.suffix.lower()],
    }
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        # The server answers when the images are done, however long that takes.
        response = httpx.post(
            f"{options.url}/v1/images/generations",
            json=given,
            headers=authorization(),
            timeout=httpx.Timeout(10, read=None),
        )
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
