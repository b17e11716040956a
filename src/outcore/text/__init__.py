"""Delimited text to rows on disk, within a memory budget.

    sources ──▶ chunks ──▶ parse ──▶ rows of an Array
       │                     │
       └─▶ plan (dialect, schema, from samples)     └─▶ faults (only for a chunk that failed)

Our own code cuts the text at record boundaries and knows each chunk's place; Polars parses the chunks. So
memory is bounded whatever the size of the files, and an error can name file, line and column.
"""
