"""Other projects' services, one file each, which is the only one that imports the project."""
