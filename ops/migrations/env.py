"""Alembic's entry: runs the migrations on the connection that `billing init` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False, version_table_pk=False)
with context.begin_transaction():
    context.run_migrations()
