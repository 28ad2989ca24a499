"""The work a node has offered to do."""
