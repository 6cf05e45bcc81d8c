"""Videos that are kept for good have names that other systems know, and URLs that work."""

import re

import httpx
import pytest

from frontend.errors import AssetsUnavailable
from frontend.jobs.state import FinishedJob
from frontend.storage.s3_bucket import S3Bucket
from frontend.video_service.assets import Assets, asset_key
from tests.frontend.jobs.specs import completed, video_spec
from tests.frontend.storage.s3_server import S3Server

NAME = r"customers/7/assets/video/19700101T001640Z_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.mp4"


def finished(n: int = 1) -> FinishedJob:
    return FinishedJob(completed(video_spec(n)), tuple(b"\0\0\0\x18ftyp" + bytes([part]) for part in range(n)))


@pytest.fixture(params=["rclone", "moto"])
def bucket(request: pytest.FixtureRequest) -> S3Bucket:
    server: S3Server = request.getfixturevalue(request.param)
    return server.bucket(prefix="films")


async def test_their_urls_give_them_to_whoever_has_them(bucket: S3Bucket) -> None:
    job = finished(2)
    urls = await Assets(bucket, url_seconds=60).keep(job, customer_id=7)

    assert all(re.search(f"/films/{NAME}\\?.*Signature=", url) for url in urls), urls
    async with httpx.AsyncClient() as client:
        answers = [await client.get(url) for url in urls]
    assert [answer.content for answer in answers] == list(job.files)
    assert {answer.headers["content-type"] for answer in answers} == {"video/mp4"}


async def test_a_signed_url_is_for_its_file_alone(rclone: S3Server) -> None:
    one, other = await Assets(rclone.bucket(prefix="films"), url_seconds=60).keep(finished(2), customer_id=7)
    path, _, query = one.partition("?")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{other.partition('?')[0]}?{query}")).status_code == 403
        assert (await client.get(path)).status_code in (400, 403)


async def test_public_urls_have_no_signature(moto: S3Server) -> None:
    (url,) = await Assets(moto.bucket(prefix="films"), url_seconds=None).keep(finished(), customer_id=7)
    assert re.fullmatch(f"http://127.0.0.1:[0-9]+/.+/films/{NAME}", url), url


async def test_what_is_kept_again_has_the_same_name_and_no_job_s_id(bucket: S3Bucket) -> None:
    assets = Assets(bucket, url_seconds=None)
    first, again = await assets.keep(finished(), customer_id=7), await assets.keep(finished(), customer_id=7)
    assert first == again
    spec = video_spec(job_id="video_secret")
    assert "secret" not in asset_key(spec, 0, 7)
    assert asset_key(spec, 0, 7) != asset_key(spec, 1, 7)
    assert [file async for file in bucket.list()] == [], "a sweep of jobs' files must not take them for its own"


async def test_a_bucket_that_is_away_loses_no_video(s3: S3Server) -> None:
    assets = Assets(s3.bucket(), url_seconds=60)
    s3.kill()
    with pytest.raises(AssetsUnavailable, match="GET /v1/videos/video_1/content has it"):
        await assets.keep(finished(), customer_id=7)
