"""Alembic's entry: runs on the connection that dashboard.schema.migrate opened, or on DATABASE_URL from a shell."""

import os

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine

from dashboard.config import sqlalchemy_url
from dashboard.models import Base


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(sqlalchemy_url(os.environ["DATABASE_URL"]), poolclass=NullPool)
    with engine.begin() as own:
        run(own)
