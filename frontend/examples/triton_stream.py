# ruff: noqa: T201
"""`generate` over Triton's own gRPC, with NVIDIA's `tritonclient`.

    python frontend/examples/triton_stream.py --prompt "a red circle moves right" --output circle.webp
    python frontend/examples/triton_stream.py --prompt "a red circle" --model toy-qwen-image --output circle.png
    python frontend/examples/triton_stream.py --prompt "x" --parameters '{"seed": 7, "num_inference_steps": 8}'

One request has many responses, so it goes through a stream; `infer` answers UNIMPLEMENTED, as of any decoupled model.
Each response has an `event`, JSON: `progress` (perhaps with `frames` beside it), then `done` or `failed`, the last one.
Needs `tritonclient[grpc]`, `numpy` and `pillow`, and nothing else of this project.
"""

import argparse
import contextlib
import json
import queue
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

SUFFIXES = (".webp", ".gif", ".png")


def main() -> None:
    options = parse_options()
    responses: queue.Queue[Any] = queue.Queue()
    with InferenceServerClient(options.url) as client:
        # The callback runs in a thread of the client's.
        client.start_stream(callback=lambda result, error: responses.put(error or result))
        # A stream that has ended already, for want of a server, refuses; its callback hears why.
        with contextlib.suppress(InferenceServerException):
            client.async_stream_infer("generate", inputs(options))
        try:
            frames = receive(options, responses)
        except KeyboardInterrupt:
            client.stop_stream(cancel_requests=True)
            sys.exit("Stopped, and the server stops too.")
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(options.output, save_all=len(images) > 1, append_images=images[1:], duration=options.milliseconds)
    print(f"{options.output}: {len(images)} frames of {images[0].width}x{images[0].height}")


def receive(options: argparse.Namespace, responses: "queue.Queue[Any]") -> list[Any]:
    """The frames, uint8 [height, width, RGB] each; ends the program with a sentence if the job fails."""
    frames: list[Any] = []
    while True:
        response = responses.get()
        if isinstance(response, InferenceServerException):
            sys.exit(f"No answer from {options.url}: {response.message()}. Is the server running?")
        event = json.loads(response.as_numpy("event")[0])
        match event["type"]:
            case "progress":
                print(f"step {event['steps_done']}/{event['steps']}, {event['frames_done']} frames", file=sys.stderr)
                chunk = response.as_numpy("frames")
                frames.extend([] if chunk is None else chunk)
            case "done":
                for warning in event["warnings"]:
                    print(f"Warning: {warning}", file=sys.stderr)
                print(f"{event['model']}, seed {event['spec']['seed']}, {event['timings']['total_seconds']:.1f} s")
                return frames
            case "failed":
                field = f"{event['field']}: " if "field" in event else ""
                sys.exit(f"The server refused ({event['code']}): {field}{event['message']}")


def inputs(options: argparse.Namespace) -> list[InferInput]:
    """The tensors of the request; model_repository/generate/config.pbtxt describes them all."""
    texts = {"model": options.model, "prompt": options.prompt, "sampling_parameters": options.parameters}
    tensors = []
    for name, text in texts.items():
        if text is not None:
            tensor = InferInput(name, [1], "BYTES")
            tensors.append(tensor.set_data_from_numpy(np.array([text.encode()], np.object_)))
    if options.image is not None:  # of the very size that the parameters say, or the model's own
        pixels = np.asarray(Image.open(options.image).convert("RGB"))
        tensors.append(InferInput("image", list(pixels.shape), "UINT8").set_data_from_numpy(pixels))
    return tensors


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", required=True, help="what to show")
    parser.add_argument("--model", help="a served id; needed where several are served")
    parser.add_argument("--image", type=Path, help="image that the video starts from, of the video's own size")
    parser.add_argument("--parameters", metavar="JSON", help="sampling parameters: seed, width, num_frames, lora, ...")
    parser.add_argument("--output", type=Path, default=Path("video.webp"), help="file to write [%(default)s]")
    parser.add_argument("--milliseconds", type=int, default=125, help="that a frame is shown [%(default)s]")
    parser.add_argument("--url", default="127.0.0.1:8001", help="Triton's gRPC [%(default)s]")
    options = parser.parse_args()
    if options.output.suffix.lower() not in SUFFIXES:
        parser.error(f"--output must end in {', '.join(SUFFIXES)}, got {str(options.output)!r}")
    if not options.output.parent.is_dir():
        parser.error(f"--output: there is no folder {str(options.output.parent)!r}")
    if options.image is not None and not options.image.is_file():
        parser.error(f"--image: there is no file {str(options.image)!r}")
    return options


if __name__ == "__main__":
    main()
