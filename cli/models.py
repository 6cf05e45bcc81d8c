"""`tritonreel models`: what the server can make."""

from typing import Any

import typer

from cli.ending import asking
from cli.finish import as_text
from cli.options import URL, JsonOption, UrlOption
from cli.tables import print_table


def models(as_json: JsonOption = False, url: UrlOption = URL) -> None:
    """List the models that the server has: what they make, their own defaults, how far a request may go, and prices.

    Models that are being exported or loaded, and those that cannot be served, are listed below.

    \b
    Examples:
      tritonreel models
      tritonreel models --json | jq -r '.data[].id'
    """
    with asking(url) as server:
        answer = server.models()
        if as_json:
            typer.echo(as_text(answer))
            return
        with server.understood():
            rows = [_served(one) if "defaults" in one else _hosted(one) for one in answer["data"]]
            coming = [(str(one["id"]), str(one["status"]), str(one["stage"])) for one in answer.get("coming", [])]
    print_table(("MODEL", "MAKES", "DEFAULT", "STEPS", "LIMITS", "PRICE"), rows)
    if coming:
        typer.echo()
        print_table(("COMING", "STATUS", "STAGE"), coming)


def _served(model: dict[str, Any]) -> tuple[str, ...]:
    own, limits = model["defaults"], model["limits"]
    makes_video = any(task.endswith("video") for task in model["tasks"])
    default, most = f"{own['width']}x{own['height']}", f"sides to {limits['max_side']}, by {limits['size_multiple']}"
    if makes_video:
        default += f", {own['num_frames']} frames at {own['fps']:g} fps"
        most += f", {limits['max_frames']} frames"
    return model["id"], _tasks(model), default, str(own["num_inference_steps"]), most, "own model"


def _hosted(model: dict[str, Any]) -> tuple[str, ...]:
    limits = [", ".join(model["resolutions"]), ", ".join(model["aspect_ratios"])]
    prices = [f"{resolution} ${rate:g}/s".strip() for resolution, rate in model["dollars_per_second"].items()]
    durations = ", ".join(f"{seconds} s" for seconds in model["durations"])
    return model["id"], _tasks(model), durations, "", "; ".join(filter(None, limits)), ", ".join(prices) or "unknown"


def _tasks(model: dict[str, Any]) -> str:
    return ", ".join(model["tasks"])
