"""How the demo model was made. Needs the `train` extra; nothing here is imported at run time."""
