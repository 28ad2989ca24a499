"""What coordinators know of all nodes, and how gateways learn of it."""
