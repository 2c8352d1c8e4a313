"""Brings a ledger's tables up to date, with Alembic; the steps are in `migrations/versions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

HEAD = "0005"  # the revision that this version of the gateway works with; a test compares it with the steps
LOCK = 7_810_761_155_937_075  # whoever writes has it, of the advisory locks of a server's database


class Failed(Exception):
    """The tables could not be brought up to date."""


def upgrade(engine: Engine) -> None:
    """Take every step that is missing.

    Args:
        engine: connects to the database; it is disposed of.

    Raises:
        Failed: a step failed, or a newer version of the gateway has been at it.
    """
    from alembic import command  # 0.3 s, which a ledger that is up to date need not cost
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine
    try:
        command.upgrade(config, "head")
    except (CommandError, SQLAlchemyError) as error:
        raise Failed(str(error)) from error
    finally:
        engine.dispose()
