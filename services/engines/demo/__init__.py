"""The demo engine: a tiny language model that ships with the package and knows nothing."""
