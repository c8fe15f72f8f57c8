"""What disks, power cuts and colleagues do to a run; and garbage, wherever something is read."""
