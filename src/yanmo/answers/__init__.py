"""What models say and how it is read: links between scores and probabilities, and the forms of evidence.

All of it is numpy over arrays, indexed by what a Dataset has (rows, units of a row), never by a model's own tokens. It
knows no task, no model and no file.
"""
