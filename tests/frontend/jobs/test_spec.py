from fractions import Fraction

import numpy as np
import pytest

from frontend.jobs.product import ImageProduct, VideoProduct
from frontend.jobs.spec import JobSpec, new_job_id
from frontend.jobs.state import Job
from protocol.resolve import parse, resolve
from protocol.sampling import MAX_SEED
from tests.frontend.jobs.specs import completed, image_spec, video_spec
from tests.model_cards import model_card

LORAS = [{"name": "ink", "scale": 0.1}, {"high": "a", "low": "b"}]


@pytest.mark.parametrize("spec", [video_spec(3), image_spec()], ids=["videos", "image"])
def test_it_survives_json(spec: JobSpec) -> None:
    read = JobSpec.model_validate_json(spec.model_dump_json())
    assert read == spec
    assert type(read.product) is type(spec.product)
    assert read.samples == spec.samples


def test_one_that_was_kept_before_there_were_partial_images_has_none() -> None:
    spec = image_spec()
    kept = spec.model_dump_json(exclude={"partial_images"})
    assert "partial_images" not in kept
    assert JobSpec.model_validate_json(kept) == spec
    asked = spec.model_copy(update={"partial_images": 2})
    assert JobSpec.model_validate_json(asked.model_dump_json()).partial_images == 2


def test_every_digit_survives_json() -> None:
    fields = {"prompt": "a fox 🦊\0\n", "seed": MAX_SEED, "guidance_scale": 0.1, "flow_shift": 12.7, "lora": LORAS}
    sampling = resolve(parse(fields), model_card())
    spec = video_spec(
        samples=(sampling,), product=VideoProduct(fps=Fraction(24000, 1001)), created_at=1795229383.123456
    )
    read = JobSpec.model_validate_json(spec.model_dump_json())
    assert read.samples == (sampling,)
    assert read.samples[0].lora == sampling.lora
    assert isinstance(read.product, VideoProduct)
    assert read.product.fps == Fraction(24000, 1001)
    assert read.created_at == 1795229383.123456


def test_the_image_survives_json_pixel_by_pixel() -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 32, 3), np.uint8)
    spec = video_spec(2).starting_from(image)
    read = JobSpec.model_validate_json(spec.model_dump_json())
    assert read.image is not None
    assert read.image.dtype == np.uint8
    np.testing.assert_array_equal(read.image, image)
    assert all(read.sampling_of(part).image is read.image for part in range(2))


def test_a_finished_job_survives_json_too() -> None:
    job = completed(video_spec(2))
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_a_lone_part_has_the_id_of_its_request_and_several_are_numbered() -> None:
    assert video_spec().request_id_of(0) == "r"
    assert [video_spec(3).request_id_of(part) for part in range(3)] == ["r-0", "r-1", "r-2"]


def test_ids_say_what_is_made_and_are_not_guessed() -> None:
    ids = {new_job_id("video") for _ in range(100)}
    assert len(ids) == 100
    assert all(job_id.startswith("video_") and len(job_id) == 38 for job_id in ids)


def test_a_product_says_what_its_files_are() -> None:
    video, image = VideoProduct(fps=Fraction(8)), ImageProduct(format="webp")
    assert (video.media_type, video.suffix) == ("video/mp4", "mp4")
    assert (image.media_type, image.suffix) == ("image/webp", "webp")
