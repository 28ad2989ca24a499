"""What a node keeps on disk: its data folder, lock and small private files."""
