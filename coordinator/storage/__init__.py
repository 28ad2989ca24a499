"""The replicated log on disk: what was acknowledged survives power loss, damage is never served."""
