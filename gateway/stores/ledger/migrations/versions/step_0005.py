"""Of what was written into a provider's cache, how much is kept for an hour, which costs more; null for none."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("usage", sa.Column("cache_write_1h_tokens", sa.BigInteger()))
