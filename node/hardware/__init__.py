"""What this machine has: processor, memory, disk, accelerators, network."""
