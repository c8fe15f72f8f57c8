"""What a run knows of its samples: its splits, changed data, and data that were moved."""
