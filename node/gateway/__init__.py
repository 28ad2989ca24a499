"""The HTTP gateway: dialects stop here."""
