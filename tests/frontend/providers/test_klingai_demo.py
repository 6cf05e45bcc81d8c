"""The server that speaks KlingAI's protocol refuses what the service refuses."""

import base64
import time
from decimal import Decimal
from typing import Any

import httpx
import jwt
import pytest

from frontend.providers.demo.klingai_inputs import STATUSES, Order, Refused, order_of

from .conftest import KLING_ACCESS, KLING_SECRET, Place
from .test_klingai import picture

TEXT, IMAGE, EXTENSION = "text2video", "image2video", "video-extend"
PICTURE = base64.b64encode(picture().content).decode()


def token(secret: str = KLING_SECRET, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"iss": KLING_ACCESS, "exp": now + 86400, "nbf": now - 5} | claims, secret)


def ask(place: Place, method: str, path: str, authorization: str | None = "", **options: Any) -> dict[str, Any]:
    """What it answers; HTTP's status agrees with the code."""
    headers = {} if authorization is None else {"Authorization": authorization or f"Bearer {token()}"}
    response = httpx.request(method, f"{place.url}/v1/videos/{path}", headers=headers, **options)
    answer: dict[str, Any] = response.json()
    assert response.status_code == (STATUSES[answer["code"]] if answer["code"] else 200)
    assert answer["request_id"]
    return answer


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, 1001),
        ("Basic x", 1002),
        ("Bearer x.y.z", 1002),
        (f"Bearer {jwt.encode({'iss': KLING_ACCESS}, KLING_SECRET)}", 1002),
        (f"Bearer {token(exp=1)}", 1004),
        (f"Bearer {token(nbf=2**33, exp=2**34)}", 1003),
        (f"Bearer {token(iss='another')}", 1000),
        (f"Bearer {token('another-secret' * 3)}", 1000),
        (f"Bearer {jwt.encode({'iss': KLING_ACCESS, 'exp': 2**33, 'nbf': 1}, '', 'none')}", 1002),
    ],
)
async def test_tokens_are_verified(klingai: Place, authorization: str | None, code: int) -> None:
    answer = ask(klingai, "POST", TEXT, authorization, json={"prompt": "a fox"})
    assert answer["code"] == code
    assert klingai.jobs.taken == []


@pytest.mark.parametrize(
    ("route", "inputs", "code"),
    [
        (TEXT, [], 1200),
        (TEXT, {}, 1201),
        (TEXT, {"prompt": "x" * 2501}, 1201),
        (TEXT, {"prompt": "x", "negative_prompt": 1}, 1201),
        (TEXT, {"prompt": "x", "seed": 1}, 1201),
        (TEXT, {"prompt": "x", "model_name": "kling-v9"}, 1203),
        (TEXT, {"prompt": "x", "model_name": "kling-v1-5"}, 1203),
        (TEXT, {"prompt": "x", "mode": "fast"}, 1201),
        (TEXT, {"prompt": "x", "duration": 5}, 1201),
        (TEXT, {"prompt": "x", "duration": "7"}, 1201),
        (TEXT, {"prompt": "x", "aspect_ratio": "4:3"}, 1201),
        (TEXT, {"prompt": "x", "sound": "on"}, 1201),
        (TEXT, {"prompt": "x", "cfg_scale": 1.5}, 1201),
        (TEXT, {"prompt": "x", "cfg_scale": 0.5, "model_name": "kling-v2-master"}, 1201),
        (TEXT, {"prompt": "x", "watermark_info": True}, 1201),
        (IMAGE, {"prompt": "x"}, 1201),
        (IMAGE, {"image": f"data:image/png;base64,{PICTURE}"}, 1201),
        (IMAGE, {"image": "bm8gaW1hZ2U="}, 1201),
        (IMAGE, {"image": PICTURE, "aspect_ratio": "16:9"}, 1201),
        (IMAGE, {"image": PICTURE, "image_tail": "x"}, 1201),
        (EXTENSION, {}, 1203),
        (EXTENSION, {"video_id": "1", "model_name": "kling-v1"}, 1201),
        ("lip-sync", {"prompt": "x"}, 1202),
    ],
)
async def test_what_is_not_taken(klingai: Place, route: str, inputs: Any, code: int) -> None:
    assert ask(klingai, "POST", route, json=inputs)["code"] == code
    assert klingai.jobs.taken == []


@pytest.mark.parametrize(
    ("route", "inputs"),
    [
        (TEXT, {"prompt": "x", "model": "of old", "cfg_scale": 0.5, "mode": "pro"}),
        (TEXT, {"prompt": "x", "model_name": "kling-v3", "duration": "15", "sound": "on"}),
        (IMAGE, {"image": PICTURE, "model_name": "kling-v1-5"}),
        (IMAGE, {"image_tail": "https://example.com/a.png"}),
    ],
)
async def test_what_is_taken(klingai: Place, route: str, inputs: dict[str, Any]) -> None:
    answer = ask(klingai, "POST", route, json=inputs)
    assert answer["message"] == "SUCCEED"
    assert answer["data"]["task_status"] == "submitted"
    assert klingai.jobs.taken[0].inputs == inputs


@pytest.mark.parametrize(
    ("source", "inputs", "reason"),
    [
        (Order("kling-v1", "std", 5, (1, 1), Decimal(1)), {"cfg_scale": 0.5}, "neither"),
        (Order("kling-v1-6", "std", 176, (1, 1), Decimal(1)), {}, "3 minutes"),
        (Order("kling-v1-6", "std", 5, (1, 1), Decimal(1), made_at=time.time() - 31 * 86400), {}, "30 days"),
    ],
)
def test_videos_that_are_not_extended(source: Order, inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        order_of(EXTENSION, {"video_id": "1", **inputs}, lambda video_id: source)
    assert refused.value.code == 1201


async def test_jobs_have_names_of_their_clients(klingai: Place) -> None:
    inputs = {"prompt": "x", "external_task_id": "mine"}
    job = ask(klingai, "POST", TEXT, json=inputs)["data"]
    assert job["task_info"] == {"external_task_id": "mine"}
    assert ask(klingai, "POST", IMAGE, json={"image": PICTURE, "external_task_id": "mine"})["code"] == 1201
    assert ask(klingai, "GET", f"{TEXT}/mine")["data"]["task_id"] == job["task_id"]
    assert ask(klingai, "GET", f"{IMAGE}/mine")["code"] == 1203
    assert ask(klingai, "GET", f"{TEXT}/another")["code"] == 1203


async def test_jobs_are_listed_page_by_page_without_getting_further(klingai: Place) -> None:
    for prompt in ("a", "b", "c"):
        ask(klingai, "POST", TEXT, json={"prompt": prompt})
    ids = [job.id for job in reversed(klingai.jobs.taken)]
    for _ in range(4):
        first = ask(klingai, "GET", f"{TEXT}?pageNum=1&pageSize=2")["data"]
    second = ask(klingai, "GET", f"{TEXT}?pageNum=2&pageSize=2")["data"]
    assert [job["task_id"] for job in first + second] == ids
    assert {job["task_status"] for job in first} == {"submitted"}
    assert ask(klingai, "GET", IMAGE)["data"] == []
    for wrong in ("pageNum=0", "pageNum=1001", "pageSize=501", "pageSize=x"):
        assert ask(klingai, "GET", f"{TEXT}?{wrong}")["code"] == 1201


async def test_an_extension_names_its_source(klingai: Place) -> None:
    klingai.jobs.polls = 0
    job = ask(klingai, "POST", TEXT, json={"prompt": "x"})["data"]
    done = ask(klingai, "GET", f"{TEXT}/{job['task_id']}")["data"]
    (video,) = done["task_result"]["videos"]
    assert (done["task_status"], video["duration"], done["final_unit_deduction"]) == ("succeed", "5", "1")
    more = ask(klingai, "POST", EXTENSION, json={"video_id": video["id"]})["data"]
    parent = ask(klingai, "GET", f"{EXTENSION}/{more['task_id']}")["data"]["task_info"]["parent_video"]
    assert parent.keys() == {"id", "url", "duration"}
    assert (parent["id"], parent["duration"]) == (video["id"], "5")
