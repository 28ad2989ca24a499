"""Who is where and what they offer."""
