"""Raw files to the rows, splits and profile of a Dataset.

    read        files to tables of strings (decode, delimited, records: bytes, CSV and TSV, JSONL and Parquet)
    rows        the rows of all splits under a Dataset's names
    tagging     the format of files in which parts of texts are labeled; tagged reads them
    refuse      cleaning, and the rows that are refused
    gather      all rows read once, their texts on disk (spill) and the rest of them in memory
    split       train, valid and test
    inspect     the profile (terms: TF-IDF weights and top terms)

It knows no models.
"""
