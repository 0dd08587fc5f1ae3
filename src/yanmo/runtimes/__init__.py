"""Bundles that run: texts in, probabilities out; one file a format, behind one protocol.

Only ``pytorch.py`` loads torch, and only when a torch Bundle is opened. Nothing here knows verbs or HTTP.
"""
