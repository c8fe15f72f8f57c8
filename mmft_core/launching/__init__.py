"""Starting a run in several processes: here, or as a job of a cluster."""
