"""The same promises for SQLAlchemy, Django and asyncpg. Each module imports its library only when it is imported itself."""
