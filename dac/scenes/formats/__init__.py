"""Data formats: one file each, from a folder to `Views`."""
