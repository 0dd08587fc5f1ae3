"""Several models' probabilities to one answer: averages, votes, stacking, calibration, cascades, label noise.

All of it is numpy over arrays of probabilities, so fitting and testing take milliseconds. It knows no model, no text
and no file; what a Bundle holds of it are plain numbers.
"""
