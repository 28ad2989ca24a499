"""Lets nodes in: tickets, grants for members, revocations. Every decision is the group's."""
