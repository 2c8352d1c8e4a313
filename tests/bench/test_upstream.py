"""The fake provider: whole answers and streams on one connection, a stream the same with pauses and without."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench import servers
from bench.upstream import PIECES


@pytest.mark.parametrize("chunk_delay", [0, 0.0001])
def test_a_stream_holds_what_the_whole_answer_does_in_events(chunk_delay: float, tmp_path: Path) -> None:
    with servers.upstream(tmp_path / "upstream", servers.share_out(), 0.0001, chunk_delay) as server:
        server.wait()
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        bodies = []
        for fields in ({}, {"stream": True}, {"stream": True}, {"stream": False}):
            connection.request("POST", "/v1/chat/completions", json.dumps({"model": "m", **fields}))
            bodies.append(connection.getresponse().read())
        connection.close()
    whole = json.loads(bodies[0])
    assert json.loads(bodies[3]) == whole
    assert bodies[1] == bodies[2]
    *events, done, rest = bodies[1].decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    first, *texts, finish, usage = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {event["id"] for event in (first, *texts, finish, usage)} == {whole["id"]}
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert len(texts) == PIECES
    content = "".join(event["choices"][0]["delta"]["content"] for event in texts)
    assert content == whole["choices"][0]["message"]["content"]
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
