"""Raw files to the rows, splits and profile of a Dataset.

    read        files to one table of strings (decode, delimited, records: bytes, CSV and TSV, JSONL and Parquet)
    rows        the rows of all splits under a Dataset's names
    refuse      cleaning, and the rows that are refused
    split       train, valid and test
    inspect     the profile (terms: TF-IDF weights and top terms)

It knows no models.
"""
