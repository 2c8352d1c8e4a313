"""The configuration in force survives a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, snapshot


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snapshot, "_current", None)
    monkeypatch.setattr(snapshot, "reload_error", None)
    monkeypatch.setenv("API_KEY", "k")
    monkeypatch.setenv("MODEL_NAME", "offline/echo")


def test_a_file_broken_later_leaves_the_last_good_configuration_in_force(tmp_path: Path) -> None:
    good = snapshot.reload()
    (tmp_path / "gateway.yaml").write_text("models: [")
    assert snapshot.reload() is good
    assert snapshot.reload_error is not None
    assert "gateway.yaml" in snapshot.reload_error
    (tmp_path / "gateway.yaml").write_text("default_model: x")
    assert snapshot.reload() is not good
    assert snapshot.reload_error is None


def test_the_first_read_of_a_broken_configuration_fails(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("models: [")
    with pytest.raises(ConfigError):
        snapshot.current()


def test_what_the_caller_checks_counts_too(tmp_path: Path) -> None:
    good = snapshot.reload()

    def refuse(settings: object) -> None:
        raise ConfigError(["MODEL_NAME: no"])

    assert snapshot.reload(refuse) is good
    assert snapshot.reload_error == "MODEL_NAME: no"


def test_not_even_a_defect_of_ours_ends_a_running_service() -> None:
    good = snapshot.reload()

    def crash(settings: object) -> None:
        raise ZeroDivisionError("oops")

    assert snapshot.reload(crash) is good
    assert snapshot.reload_error == "ZeroDivisionError('oops')"
