"""Forms: text is UTF-8 or refused by name, and no form costs more than its size."""

from collections.abc import AsyncIterator, Iterable

import pytest

from frontend.errors import InvalidMultipart
from frontend.http.form import MAX_FIELDS, MAX_FILES, MAX_FRAMING_BYTES, Part, read_parts
from frontend.http.json_text import MAX_TEXT_BYTES
from tests.memory import traced

CONTENT_TYPE = "multipart/form-data; boundary=b"
MEGABYTE = 1_000_000


def part(content: bytes, name: bytes = b"prompt", more: bytes = b"", headers: Iterable[bytes] = ()) -> bytes:
    """One part; `more` stands in its Content-Disposition."""
    lines = [b'Content-Disposition: form-data; name="%b"%b' % (name, more), *headers]
    return b"--b\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, content_type: str = CONTENT_TYPE, size: int = 65536) -> list[Part]:
    return await read_parts(pieces(body, size), content_type, {"image"})


async def refusal(body: bytes, content_type: str = CONTENT_TYPE) -> InvalidMultipart:
    with pytest.raises(InvalidMultipart) as refused:
        await read(body, content_type)
    assert len(refused.value.message) < 400
    return refused.value


# What is read


@pytest.mark.parametrize("size", [1, 7, 65536])
async def test_parts_come_in_their_order_however_they_arrive(size: int) -> None:
    file = b"\r\n--\r\n--c\0\xff" * 100
    body = form(part(b"a fox"), part(file, b"photo", b'; filename="a.png"'), part(b"", b"a[b]"), part(b"5", b"a[b]"))
    assert await read(body, size=size) == [
        Part("prompt", "a fox"),
        Part("photo", file),
        Part("a[b]", ""),
        Part("a[b]", "5"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b"Content-Type: text/plain"],
        [b"content-type: text/plain; charset=UTF-8"],
        [b'Content-Type: text/plain; charset="utf8"'],
        [b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit"],
        [b"Content-Transfer-Encoding: BINARY"],
    ],
)
async def test_text_is_utf8(headers: list[bytes]) -> None:
    body = form(part("läuft 🦊\0".encode(), "größe".encode(), headers=headers))
    assert await read(body) == [Part("größe", "läuft 🦊\0")]


async def test_what_browsers_say_of_the_charset_is_no_field() -> None:
    assert await read(form(part(b"UTF-8", b"_charset_"), part(b"x"))) == [Part("prompt", "x")]


async def test_what_is_just_inside_the_bounds() -> None:
    many = [part(b"x", b"x%d" % i) for i in range(MAX_FIELDS)]
    many += [part(b"x", b"y%d" % i, b'; filename=""') for i in range(MAX_FILES)]
    assert len(await read(form(*many))) == MAX_FIELDS + MAX_FILES
    (text,) = await read(form(part(b"x" * MAX_TEXT_BYTES)))
    assert len(text.content) == MAX_TEXT_BYTES
    (long,) = await read(form(part(b"x" * 3 * MAX_TEXT_BYTES, b"image")))
    assert len(long.content) == 3 * MAX_TEXT_BYTES


# What is refused


@pytest.mark.parametrize(
    "content", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf0\x9f\xa6", b"\xff\xfea\0"]
)
async def test_text_that_is_not_utf8_is_refused_by_name_and_never_guessed(content: bytes) -> None:
    error = await refusal(form(part(b"x"), part(content, b"negative_prompt")))
    assert (error.field, error.message) == ("negative_prompt", "must be UTF-8")


@pytest.mark.parametrize(
    "charset", [b"latin-1", b"ISO-8859-1", b"utf-16", b"utf-7", b"idna", b"zip", b"\xff", b"x" * 300]
)
async def test_another_charset_is_refused(charset: bytes) -> None:
    declared = await refusal(form(part(b"x", headers=[b"Content-Type: text/plain; charset=" + charset])))
    assert (declared.field, declared.message[:31]) == ("prompt", "The charset must be UTF-8, got ")
    if charset != b"\xff":
        field = await refusal(form(part(charset, b"_charset_")))
        assert (field.field, field.message[:31]) == ("_charset_", "The charset must be UTF-8, got ")
    whole = await refusal(form(part(b"x")), CONTENT_TYPE + "; charset=" + charset.decode("latin-1"))
    assert (whole.field, whole.message[:31]) == (None, "The charset must be UTF-8, got ")


@pytest.mark.parametrize("encoding", [b"base64", b"Quoted-Printable", b"x-uuencode", b"\x1b[2J"])
@pytest.mark.parametrize("more", [b"", b'; filename="a.png"'])
async def test_a_part_that_is_encoded_is_refused_by_name(encoding: bytes, more: bytes) -> None:
    error = await refusal(form(part(b"eA==", more=more, headers=[b"Content-Transfer-Encoding: " + encoding])))
    assert error.field == "prompt"
    assert "Content-Transfer-Encoding" in error.message
    assert error.message.isprintable()


async def test_a_name_that_is_not_utf8_is_refused() -> None:
    error = await refusal(form(part(b"x", b"pr\xffmpt\x01")))
    assert error.message == "The name of the field 'pr\ufffdmpt\\x01' is not UTF-8"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends before its closing boundary"),
        (part(b"x"), "ends before its closing boundary"),
        (b"prompt=x", "Invalid multipart data"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", '"name" must be provided'),
        (b"--b\r\n\r\nx\r\n--b--", '"name" must be provided'),
        (form(part(b"x", b"x" * 5000)), "Invalid multipart data"),
        (form(part(b"x", headers=[b"X: x"] * 20)), "Invalid multipart data"),
        (form(*[part(b"x")] * (MAX_FIELDS + 1)), "Too many fields. Maximum number of fields is 200."),
        (form(*[part(b"x", more=b"; filename=a")] * 5), "Too many files. Maximum number of files is 4."),
        (form(part(b"x" * (MAX_TEXT_BYTES + 1))), "must have at most 131,072 bytes of text"),
    ],
    ids=lambda value: repr(value[:30]),
)
async def test_what_is_no_form_or_too_much_of_one(body: bytes, message: str) -> None:
    assert message in (await refusal(body)).message


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", "", "; boundary"])
async def test_a_boundary_is_needed(content_type: str) -> None:
    assert "has no boundary" in (await refusal(form(part(b"x")), content_type)).message


async def test_a_boundary_has_its_length() -> None:
    assert "Invalid multipart data" in (await refusal(b"x", "multipart/form-data; boundary=" + "b" * 50_000)).message


# Costs

FILE = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
FLOODS = {
    "what looks like a boundary": (FILE + b"\r\n--bX" * 5 * MEGABYTE, "Too many boundaries"),
    "blanks behind a boundary": (FILE + b"\r\n--b" + b" " * 32 * MEGABYTE, "Too much around the parts"),
    "line ends before the first part": (b"\r\n" * 16 * MEGABYTE + FILE, "Too much around the parts"),
    "what follows the last part": (form(part(b"x")) + b"x" * 32 * MEGABYTE, "Too much around the parts"),
    "a header without end": (b"--b\r\nX: " + b"x" * 32 * MEGABYTE, "Invalid multipart data"),
    "blanks in a header": (b"--b\r\nX:" + b" " * 32 * MEGABYTE, "Invalid multipart data"),
    "parts": (part(b"x") * 500_000, "Too many boundaries"),
    "headers": (b"--b\r\n" + b"X: x\r\n" * 5 * MEGABYTE, "Invalid multipart data"),
    "text": (part(b"x" * 32 * MEGABYTE), "bytes of text"),
}


@pytest.mark.parametrize(("body", "message"), FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_is_given_up_early(body: bytes, message: str) -> None:
    taken = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal taken
        async for piece in pieces(body, 65536):
            taken += len(piece)
            yield piece

    with pytest.raises(InvalidMultipart, match=message):
        await read_parts(counted(), CONTENT_TYPE, ())
    assert taken <= MAX_FRAMING_BYTES + 2 * 65536


async def test_a_file_takes_no_more_than_twice_its_size() -> None:
    body = form(part(b"\xff" * 32 * MEGABYTE, b"image", b'; filename="a"'))
    with traced() as memory:
        (file,) = await read(body)

    assert len(file.content) == 32 * MEGABYTE
    assert memory.peak < 70 * MEGABYTE
