"""What decides: at present scheduling, as pure functions."""
