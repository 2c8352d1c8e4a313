"""What the master does for its workers, and what it tells a person in front of a terminal."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from gateway.config import ConfigError, Settings
from gateway.server import master
from gateway.server.master import hang_up_on_stalled_readers, hint

MakeSettings = Callable[..., Settings]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("127.0.0.1", 8000), "http://127.0.0.1:8000/inference"),
        (("0.0.0.0", 80), "http://127.0.0.1:80/inference"),
        (("::", 80, 0, 0), "http://127.0.0.1:80/inference"),
        (("::1", 80, 0, 0), "http://[::1]:80/inference"),
    ],
)
def test_the_curl_line_goes_where_the_service_listens(
    address: tuple[object, ...], shown: str, make_settings: MakeSettings
) -> None:
    assert shown in hint(make_settings(), address)


def test_the_curl_line_shows_no_key(make_settings: MakeSettings) -> None:
    from_environment = hint(make_settings(), ("127.0.0.1", 1))
    from_file = hint(make_settings(dotenv="API_KEY=dotenv-key-123\n", API_KEY=""), ("127.0.0.1", 1))
    assert '"x-api-key: $API_KEY"' in from_environment
    assert "dotenv-key-123" not in from_file
    assert "/.env" in from_file


def test_an_address_that_nobody_can_use_stops_the_start_and_nothing_of_it_is_told(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_URL="redis://h/0?S3cret=Pw0rd")
    with pytest.raises(ConfigError) as refused:
        master._build(settings)
    assert refused.value.mistakes == ["Redis: REDIS_URL has an option that is unknown or misspelt"]


def test_a_connection_whose_reader_stalls_is_ended_by_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hang_up_on_stalled_readers([listener])
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
