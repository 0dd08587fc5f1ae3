"""From text to what a model reads: cleaning, segmentation, n-grams, TF-IDF and token ids.

Everything here works on a *column*, a list of strings, as one joined string or one array in compiled code. Nothing
here knows Datasets, labels or models.
"""
