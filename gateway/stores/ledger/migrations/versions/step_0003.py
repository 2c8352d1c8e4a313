"""No index of holds by their owner, which cost each call two pages: they are few, and looked for every ten seconds."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_index("holds_by_owner", "holds")
