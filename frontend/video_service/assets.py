"""Videos that are kept for good, in a bucket, under names that other systems know."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from frontend.errors import AssetsUnavailable, StorageError
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob
from frontend.storage.s3_bucket import S3Bucket


@dataclass(frozen=True)
class Assets:
    """Puts the files of jobs into `bucket`.

    Args:
        url_seconds: for which the URLs work; None for those of a bucket that everybody can read.
    """

    bucket: S3Bucket
    url_seconds: float | None

    async def keep(self, finished: FinishedJob, customer_id: int) -> list[str]:
        """The URLs of the files. Keeping them again changes nothing.

        Raises:
            AssetsUnavailable: the bucket does not take them; the job still has them.
        """
        spec = finished.job.spec
        keys = [asset_key(spec, part, customer_id) for part in range(len(finished.files))]
        try:
            return await asyncio.gather(
                *(
                    self.bucket.publish(key, file, spec.product.media_type, self.url_seconds)
                    for key, file in zip(keys, finished.files, strict=True)
                )
            )
        except StorageError as error:
            raise AssetsUnavailable(
                f"the video is made, and GET /v1/videos/{spec.id}/content has it, but it cannot be put into the bucket "
                f"for good: {error.message}"
            ) from None


def asset_key(spec: JobSpec, part: int, customer_id: int) -> str:
    """Of a file of a job; always the same, and it does not tell the job's id."""
    made_at = datetime.fromtimestamp(spec.created_at, UTC)
    name = uuid.uuid5(uuid.NAMESPACE_URL, f"{spec.id}/{part}")
    return f"customers/{customer_id}/assets/video/{made_at:%Y%m%dT%H%M%SZ}_{name}.{spec.product.suffix}"
