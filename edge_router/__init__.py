"""Bootstrap only: a small public process that newcomers ask for seeds."""
