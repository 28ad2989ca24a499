"""Agreement among coordinators: one log of commands, the same on every voter."""
