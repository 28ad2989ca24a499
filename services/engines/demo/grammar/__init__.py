"""The invented texts that the demo model learns from: no sentence comes from outside."""
