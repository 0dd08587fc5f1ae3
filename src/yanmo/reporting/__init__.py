"""The pages of Reports: measured values become plots and one HTML file that opens offline.

It knows metrics and artifacts, but no task, model or runtime. matplotlib is imported when a plot is drawn.
"""
