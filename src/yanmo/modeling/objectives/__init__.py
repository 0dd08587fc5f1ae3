"""What trainings make small: one file for each kind of evidence, and for what pre-training learns from plain text."""
