"""Which addresses a connection goes to, whatever a name resolves to."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterable

import httpcore
import pytest

from frontend.http.public_network import NoPublicAddress, PublicNetwork, addresses_of, is_public
from tests.frontend.media.image_server import ADDRESS, ImageServer, serving, stands_for_public

NOT_PUBLIC = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255"),
    *("127.0.0.1", "127.255.0.1", "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "::2", "::7f00:1", "::808:808", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("::ffff:169.254.169.254", "::ffff:0:808:808", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::", "2002:808:808::", "3fff::1", "4000::1", "5f00::1", "fc00::1"),
    *("fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%1", "fec0::1", "febf::1", "ff02::1", "ff0e::1"),
    "2606:4700::1%1",
]
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"),
    *("192.167.0.1", "198.20.0.1", "223.255.255.255", "2001:4860:4860::8888", "2606:4700:4700::1111"),
    *("2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_not_everybody_can_reach_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_the_rest_is(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with serving() as server:
        yield server


class Names:
    """A resolver whose answer is another one each time."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self.answers = [list(answer) for answer in answers]
        self.asked: list[str] = []

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0)


async def peer_of(network: PublicNetwork, host: str, port: int) -> str:
    """Where the connection goes to."""
    stream = await network.connect_tcp(host, port, timeout=30)
    try:
        return str(stream.get_extra_info("server_addr")[0])
    finally:
        await stream.aclose()
        network.close()


async def test_a_name_is_resolved_once_and_connected_to_where_it_was_checked(server: ImageServer) -> None:
    names = Names([ADDRESS], ["127.0.0.1"])
    assert await peer_of(PublicNetwork(stands_for_public, names), "rebinding.test", server.port) == ADDRESS
    assert names.asked == ["rebinding.test"]


@pytest.mark.parametrize("answer", [["127.0.0.1"], [ADDRESS, "127.0.0.1"], ["::1", ADDRESS], [], ["no address"]])
async def test_one_address_that_is_not_public_is_enough_to_refuse(server: ImageServer, answer: list[str]) -> None:
    with pytest.raises(NoPublicAddress):
        await peer_of(PublicNetwork(stands_for_public, Names(answer)), "mixed.test", server.port)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "::1", "::ffff:127.0.0.1"],
)
async def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async with serving(address="127.0.0.1") as server:
        with pytest.raises(NoPublicAddress):
            await peer_of(PublicNetwork(), host, server.port)
        assert server.ended == 0


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", "no-such-name.invalid"])
async def test_a_name_that_is_not_found_is_refused_likewise(host: str) -> None:
    with pytest.raises(NoPublicAddress):
        await peer_of(PublicNetwork(), host, 443)


async def test_this_machine_is_refused_by_an_address_that_is_allowed_too() -> None:
    async with serving(address="127.0.0.1") as server:
        with pytest.raises(NoPublicAddress):
            await peer_of(PublicNetwork(lambda address: True, addresses_of), "127.0.0.1", server.port)


async def test_the_next_address_is_tried_where_one_does_not_answer(server: ImageServer) -> None:
    """Nobody listens at 127.0.0.3."""
    network = PublicNetwork(lambda address: True, Names(["127.0.0.3", ADDRESS]))
    assert await peer_of(network, "two.test", server.port) == ADDRESS
    with pytest.raises(httpcore.ConnectError):
        await peer_of(PublicNetwork(lambda address: True, Names(["127.0.0.3"])), "none.test", server.port)


async def test_a_slow_name_server_keeps_no_thread_from_the_rest_of_the_process() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(host: str) -> list[str]:
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(answer.wait(), loop).result()
        return ["10.0.0.1"]

    network = PublicNetwork(resolve=slow)
    connecting = [asyncio.create_task(network.connect_tcp(f"{n}.test", 443)) for n in range(100)]
    await asked.wait()
    assert await asyncio.to_thread(lambda: 5) == 5
    answer.set()
    results = await asyncio.gather(*connecting, return_exceptions=True)
    network.close()
    assert {type(result) for result in results} == {NoPublicAddress}
