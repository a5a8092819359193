"""Files of the visit log: hits of a day's parts, put together as visits, and written as Parquet.

In: ``LogPart.data``. Out: a file. numpy and Zstandard are imported here alone, and only when a file is written.
"""
