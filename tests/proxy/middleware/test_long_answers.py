"""What is written down of long answers given in one piece, which leave slice by slice (`proxy.chains.slices`)."""

from __future__ import annotations

import random
from typing import Any

from lolly_tx.domain.errors import DownstreamGone
from lolly_tx.proxy.answer import Answer
from lolly_tx.proxy.chains.slices import SLICE_BYTES
from lolly_tx.proxy.own_answers import got
from tests.proxy.middleware.behind import behind
from tests.proxy.middleware.test_compress import (
    HTML,
    CompressTestCase,
    target_says,
    turn,
)
from tests.proxy.world import Line, World, get


class LoggedTests(CompressTestCase):
    """What is written down of a long body that was given in one piece: all that the client has got, when it has."""

    body = random.Random(1).randbytes(6 * SLICE_BYTES)

    def size(self, got: bytes) -> int:
        """Of the body as it was sent, without the frames of chunks."""
        _, _, rest = got.partition(b"\r\n\r\n")
        total = 0
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            total += int(size, 16)
            rest = rest[int(size, 16) + 2 :]
        return total

    def asked(self) -> tuple[World, Line]:
        """A target has answered in one piece, and the client has a part of it."""
        world = self.behind
        client = world.client()
        client.send(get("/", "Accept-Encoding: gzip\r\n"))
        world.accept().send(target_says(body=self.body))
        self.assertEqual((world.ended, world.forwarder.in_flight), ([], 1))
        self.assertEqual(world.in_flight, {})
        return world, client

    def test_of_a_target(self) -> None:
        """Of one that a target has given."""
        world, client = self.asked()
        for _ in range(20):
            turn(world)
        got = client.take()
        self.assertTrue(got.endswith(b"\r\n0\r\n\r\n"))
        [ended] = world.ended
        self.assertEqual((ended.status, ended.bytes_out), (200, self.size(got)))
        self.assertIsNone(ended.error)

    def test_client_leaves_a_target(self) -> None:
        """A client that goes has what it has, and is counted as gone."""
        world, client = self.asked()
        turn(world)
        got = client.take()
        client.lose()
        world.pass_time()
        [ended] = world.ended
        self.assertEqual((ended.status, ended.bytes_out), (200, self.size(got)))
        self.assertIsInstance(ended.error, DownstreamGone)
        self.assertEqual(world.forwarder.counters.gone, 1)

    def test_own_answers(self) -> None:
        """Of one that middleware, or an end that answers itself, has given."""
        page = Answer(200, HTML, self.body)
        told: list[tuple[int, int, str]] = []
        for end in (page, Page(page)):
            world = behind(self, self.middleware, end=end)
            world.proxy.own.on_refusal = lambda door, head, *said, **_: told.append(
                said[:3]
            )
            if isinstance(end, Page):
                end.own = world.proxy.own
            for leaves in (False, True):
                client = world.client()
                client.send(get("/", "Accept-Encoding: gzip\r\n"))
                self.assertEqual(told, [])
                got = client.take() if leaves else b""
                if leaves:
                    client.lose()
                for _ in range(20):
                    turn(world)
                sent = got if leaves else client.take()
                self.assertEqual([one[:2] for one in told], [(200, self.size(sent))])
                told.clear()


class Page:
    """An end that answers itself, and says so."""

    def __init__(self, page: Answer) -> None:
        self.page = page
        self.own: Any = None

    def open_exchange(self, door: Any, head: Any, start: Any) -> None:
        size = self.page.give(door, head.is_head)
        self.own.given(door, head, *got(door, 200, size), "")
