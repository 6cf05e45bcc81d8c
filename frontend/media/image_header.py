"""What an image file says about itself, and why one is refused.

ImageError                        its message is a sentence for the client
├── UnknownFormat                 not a PNG, JPEG or WebP file
├── DamagedImage                  truncated, or not as its format has to be
└── UnsupportedImage              as its format allows, but nothing that is decoded here
"""

from dataclasses import dataclass


class ImageError(Exception):
    """Base of the reasons to refuse a file.

    Args:
        message: a sentence for the client.
        reason: what exactly is wrong, for tests and logs.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(reason or message)
        self.message = message


class UnknownFormat(ImageError):
    def __init__(self) -> None:
        super().__init__("must be a PNG, JPEG or WebP image")


class DamagedImage(ImageError):
    def __init__(self, reason: str) -> None:
        super().__init__("the image is truncated or broken", reason)


class UnsupportedImage(ImageError):
    pass


@dataclass(frozen=True)
class ImageHeader:
    width: int
    """pixels, as they are stored: before `orientation` is undone"""
    height: int
    orientation: int = 1
    """EXIF 2.3, tag 274: 1 to 8"""
    animated: bool = False
