"""The table of peers, and one that is started from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import peers, servers
from bench.peers import PEERS, Peer


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_what_is_installed_is_pinned_to_the_version_that_is_told(peer: Peer) -> None:
    pinned = peer.packages if isinstance(peer.packages, tuple) else tuple(peer.packages.values())
    assert peer.version in pinned[0]


def test_a_peer_is_there_once_its_installation_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    peer = replace(PEERS[0], packages=())
    assert not peer.installed
    peer.folder.mkdir()
    (peer.folder / "installed-version").write_text("another")
    assert not peer.installed
    (peer.folder / "installed-version").write_text(peer.version)
    assert peer.installed


@pytest.mark.parametrize("chooses_port", [False, True])
def test_a_peer_gets_its_configuration_and_tells_its_port(
    chooses_port: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    script = "import os, sys; print(f'at http://127.0.0.1:$port/', flush=True); os.execv('{0}', ['{0}', '-m', 'bench.upstream'])"
    peer = Peer(
        "fake", "1", (), (servers.python("x")[0], "-c", script.format(servers.python("x")[0])), "to: $upstream",
        {"PORT": "$port", "PYTHONPATH": str(servers.ROOT)}, chooses_port, {"x-to": "$upstream/v1"},
    )  # fmt: skip
    cores = servers.share_out()
    with (
        servers.upstream(tmp_path / "upstream", cores) as upstream,
        peer.start(tmp_path / "fake", cores, upstream) as server,
    ):
        upstream.wait()
        server.wait()
        assert (tmp_path / "fake" / "config").read_text() == f"to: {upstream.url}"
        assert server.chat().headers["x-to"] == f"{upstream.url}/v1"
        assert server.url.startswith("http://127.0.0.1:")
