"""Page-view tracking for async Django: counted in memory, pushed to Redis, kept in your database."""

__version__ = "0.1.0"
