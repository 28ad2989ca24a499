"""Hands jobs to this node's own host or straight to a peer's, over a link."""
