"""The bytes nodes exchange: frame numbers, messages, limits and their pure codecs."""
