"""Which node gets a job: pure policy over the routing view."""
