"""The replicated state: what the log's commands add up to, in SQLite, the same at every member."""
