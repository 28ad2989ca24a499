"""The consensus group at work: disk, links and membership around the core."""
