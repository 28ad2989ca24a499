"""Engines: what turns a job into chunks."""
