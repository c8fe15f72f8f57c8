"""What a disk, a power cut or a colleague does to a run; and plugins, tables and files of garbage."""
