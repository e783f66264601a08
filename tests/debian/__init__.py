"""The servers that Debian ships, PostgreSQL and Redis, with PgBouncer in between where it is wanted."""
