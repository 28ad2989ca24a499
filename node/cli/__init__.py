"""The electrons command."""
